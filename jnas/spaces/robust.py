"""S1 to S4 of RobustDARTS, the spaces on which PT is judged.

Source: PT, Sec. 5.2 and Appendix A.5; SPEC 2.4. DARTS cells with short
operation lists; S1 has a list of its own on each edge.
"""

from jnas.spaces import darts

_MAX = "max_pool_3x3"
_AVG = "avg_pool_3x3"
_SKIP = "skip_connect"
_SEP3 = "sep_conv_3x3"
_DIL3 = "dil_conv_3x3"
_DIL5 = "dil_conv_5x5"

S1 = darts.ragged_space(
  "s1",
  normal=(
    (_SKIP, _DIL3),  # 0 -> 2
    (_SKIP, _DIL5),  # 1 -> 2
    (_SKIP, _DIL5),  # 0 -> 3
    (_SKIP, _SEP3),  # 1 -> 3
    (_SKIP, _DIL3),  # 2 -> 3
    (_MAX, _SKIP),  # 0 -> 4
    (_SKIP, _SEP3),  # 1 -> 4
    (_SKIP, _SEP3),  # 2 -> 4
    (_SKIP, _DIL3),  # 3 -> 4
    (_SKIP, _SEP3),  # 0 -> 5
    (_MAX, _SKIP),  # 1 -> 5
    (_SKIP, _DIL3),  # 2 -> 5
    (_DIL3, _DIL5),  # 3 -> 5
    (_DIL3, _DIL5),  # 4 -> 5
  ),
  reduce=(
    (_MAX, _AVG),  # 0 -> 2
    (_MAX, _DIL3),  # 1 -> 2
    (_MAX, _AVG),  # 0 -> 3
    (_MAX, _AVG),  # 1 -> 3
    (_SKIP, _DIL5),  # 2 -> 3
    (_MAX, _AVG),  # 0 -> 4
    (_MAX, _SEP3),  # 1 -> 4
    (_SKIP, _DIL3),  # 2 -> 4
    (_SKIP, _DIL5),  # 3 -> 4
    (_MAX, _AVG),  # 0 -> 5
    (_MAX, _AVG),  # 1 -> 5
    (_SKIP, _DIL5),  # 2 -> 5
    (_SKIP, _DIL5),  # 3 -> 5
    (_SKIP, _DIL5),  # 4 -> 5
  ),
)
S2 = darts.uniform_space("s2", (_SKIP, _SEP3))
S3 = darts.uniform_space("s3", ("none", _SKIP, _SEP3))
S4 = darts.uniform_space("s4", ("noise", _SEP3))
