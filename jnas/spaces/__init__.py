"""Search spaces by name."""

from jnas.spaces import darts, nasbench201, proxyless, robust
from jnas.spaces.base import NONE, SKIP, Space, dense_edges

SPACES = {
  "darts": darts.DARTS,
  "darts_no_none": darts.DARTS_NO_NONE,
  "nasbench201": nasbench201.NASBENCH201,
  "darts_extended": darts.DARTS_EXTENDED,
  "mbconv": proxyless.MBCONV,
  "mbconv_small": proxyless.MBCONV_SMALL,
  "mbconv_tiny": proxyless.MBCONV_TINY,
  "unas_cifar": darts.UNAS_CIFAR,
  "unas_imagenet": darts.UNAS_IMAGENET,
  "s1": robust.S1,
  "s2": robust.S2,
  "s3": robust.S3,
  "s4": robust.S4,
}

__all__ = ["NONE", "SKIP", "SPACES", "Space", "dense_edges"]
