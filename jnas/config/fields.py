"""The fields of a config, section by section."""

import dataclasses
from typing import Literal

# Whether settings follow the papers or their authors' code (SPEC 6).
PRESETS = ("paper", "authors")
Scalar = int | float | bool | str


@dataclasses.dataclass(frozen=True)
class MethodConfig:
  """The search method.

  Attributes:
    name: in the table of methods, or a dotted path "package.module:NAME".
    settings: the method's own settings, by name.
    selector: how the genotype is read off; "default" is the method's own.
  """

  name: str = "darts"
  settings: dict[str, Scalar] = dataclasses.field(default_factory=dict)
  selector: str = "default"


@dataclasses.dataclass(frozen=True)
class DataConfig:
  """The images.

  Attributes:
    source: fashion_mnist_mini, npz:PATH, folder:PATH, cifar10, cifar100, svhn,
      imagenet2012, tfds:NAME, or a dotted path "package.module:load"; with
      masks, for `jnas segment`, voc:PATH, npz:PATH, tfds:NAME or a dotted path
      "package.module:SOURCE".
    limit: training images to use, the first of a class-balanced order, or, of
      images with masks, the first as they are stored; 0 for all.
    test_limit: test images to use, likewise; 0 for all.
    image_size: height and width to bring images to; 0 to leave them.
    valid_fraction: share of the training images that fits the architecture.
    crop_padding: pixels of padding before a random crop; 0 for no crop.
    flip: whether images are flipped left to right at random.
    stream: whether images are decoded anew in every epoch instead of kept on
      the device: "on", "off", or "auto" with crop_scale and for what takes
      more than 4 GiB.
    crop_scale: smallest share of an image's area that a random resized crop
      takes, in streamed images; 0 for no such crop.
    crop_ratio: largest ratio of the sides of such a crop, either way.
    eval_crop: share of the shorter side that is seen when measuring, with
      crop_scale; 0.875 is the centre 224 of 256 pixels.
    jitter: largest change of brightness, contrast and saturation; 0 for none.
    hue: largest turn of the hue, as a share of the circle; 0 for none.
    max_unreadable: streamed images that may be skipped as unreadable.
  """

  source: str = "fashion_mnist_mini"
  limit: int = 0
  test_limit: int = 0
  image_size: int = 0
  valid_fraction: float = 0.5
  crop_padding: int = 4
  flip: bool = True
  stream: Literal["auto", "on", "off"] = "auto"
  crop_scale: float = 0.0
  crop_ratio: float = 4 / 3
  eval_crop: float = 1.0
  jitter: float = 0.0
  hue: float = 0.0
  max_unreadable: int = 10


@dataclasses.dataclass(frozen=True)
class SearchConfig:
  """The search for a genotype.

  Attributes:
    cells: cells of the supernet.
    channels: C of its first cell.
    stem: "cifar" keeps the resolution, "imagenet" divides it by 8.
    epochs: passes over the half of the images that fits the weights.
    batch_size: images a step, over all devices.
    scheme: how weights and architecture are updated: "bilevel" (each on a
      split of its own), "second_order" (through a virtual step of the
      weights), "single_level" (both on the training images), "frozen" (the
      architecture stays as it is); "default" is the method's own.
    hessian: how the second order is computed, "exact" or by the paper's
      "finite_difference".
    optimizer: of the weights, "sgd" or "adam".
    lr: learning rate of the weights in the first epoch.
    lr_min: learning rate that a cosine or linear schedule ends at.
    schedule: of the learning rate, "cosine", "linear" or "exponential".
    lr_decay: factor an epoch of the exponential schedule.
    lr_first_epoch: epoch of the schedule that epoch 0 runs at; 1 as in codes
      that step the schedule before they train.
    lr_warmup: epochs in which the learning rate rises to the schedule's: to
      1/n of it in the first of n, to 2/n in the second; 0 for none.
    lr_batch: batch size that lr and lr_min are for; with another batch_size
      they are scaled in proportion; 0 to take them as they are.
    momentum: of the weights' SGD.
    weight_decay: of the weights, added to their gradient.
    clip_norm: largest global norm of the weights' gradient.
    drop_path: probability of dropping a mixed edge for an image.
    drop_skip: probability of dropping an element of a skip connection's
      output in the first epoch; it falls linearly.
    drop_skip_share: share of drop_skip that it falls to; 1 for a constant.
    arch_warmup: epochs before the architecture moves.
    arch_lr: learning rate of the architecture's Adam.
    arch_lr_share: share of arch_lr that a cosine ends at; 1 for a constant.
    arch_clip_norm: largest global norm of the architecture's gradient; 0 for
      no limit.
    arch_beta1: decay of Adam's first moment.
    arch_beta2: decay of Adam's second moment.
    arch_weight_decay: of the architecture, added to its gradient.
    arch_moves_statistics: whether batches of the architecture also move the
      running batch statistics, as in the authors' code (SPEC 6, D1).
    valid_every: epochs between two validations of supernet and child.
    checkpoint_seconds: time between two checkpoints within an epoch.
  """

  cells: int = 8
  channels: int = 16
  stem: Literal["cifar", "imagenet"] = "cifar"
  epochs: int = 50
  batch_size: int = 64
  scheme: Literal[
    "default", "bilevel", "second_order", "single_level", "frozen"
  ] = "default"
  hessian: Literal["exact", "finite_difference"] = "exact"
  optimizer: Literal["sgd", "adam"] = "sgd"
  lr: float = 0.025
  lr_min: float = 0.0
  schedule: Literal["cosine", "linear", "exponential"] = "cosine"
  lr_decay: float = 0.97
  lr_first_epoch: int = 0
  lr_warmup: int = 0
  lr_batch: int = 0
  momentum: float = 0.9
  weight_decay: float = 3e-4
  clip_norm: float = 5.0
  drop_path: float = 0.0
  drop_skip: float = 0.0
  drop_skip_share: float = 0.0
  arch_warmup: int = 0
  arch_lr: float = 3e-4
  arch_lr_share: float = 1.0
  arch_clip_norm: float = 0.0
  arch_beta1: float = 0.5
  arch_beta2: float = 0.999
  arch_weight_decay: float = 1e-3
  arch_moves_statistics: bool = False
  valid_every: int = 1
  checkpoint_seconds: float = 60.0


@dataclasses.dataclass(frozen=True)
class SelectionConfig:
  """How the genotype is read off the trained supernet.

  Attributes:
    name: "none" (the search's own derivation), "perturbation" (PT: decide the
      edges one by one by what the supernet loses, and tune it in between),
      "magnitude" (the same with the mixing weights instead of the loss), or
      "sampled" (the best of random cells by the accuracy of the supernet).
    criterion: what a trial is judged by, "acc" or "loss".
    topology: how a node's edges are chosen, "one_shot" (each left out alone)
      or "iterative" (the least useful one removed, then the next).
    batch_statistics: whether batch norms in trials use the statistics of the
      batch instead of the running ones; none are moved.
    none_candidate: whether "none" may be chosen where an edge has it.
    none_edge: what becomes of an edge that was given "none", "removed" or, as
      in the authors' code, its "first_other" operation (SPEC 6, D14); a cell
      that keeps every edge has "none" as an operation, and no choice here.
    tune_epochs: epochs of tuning after each decision; 0 for no tuning.
    lr_share: learning rate of the tuning, as a share of search.lr.
    lr_end_share: share of that which a cosine ends at; 1 for a constant.
    train_arch: whether the architecture of open edges keeps moving.
    num_samples: random cells to compare, for "sampled".
    batch_size: images in a batch of a trial, over all devices; all images
      where there are fewer.
    trials_per_call: candidates that are scored together, batch by batch; what
      the supernet computes before the first cell that they change, once.
    checkpoint_seconds: time between two checkpoints within an epoch or trial.
  """

  name: Literal["none", "perturbation", "magnitude", "sampled"] = "none"
  criterion: Literal["acc", "loss"] = "acc"
  topology: Literal["one_shot", "iterative"] = "one_shot"
  batch_statistics: bool = True
  none_candidate: bool = True
  none_edge: Literal["removed", "first_other"] = "removed"
  tune_epochs: int = 5
  lr_share: float = 0.1
  lr_end_share: float = 0.4
  train_arch: bool = True
  num_samples: int = 1000
  batch_size: int = 64
  trials_per_call: int = 8
  checkpoint_seconds: float = 60.0


@dataclasses.dataclass(frozen=True)
class SupernetConfig:
  """What the supernet computes besides mixing every operation.

  Attributes:
    engine: cells that mix all operations; the others are Transit-cells, which
      compute the derived cell alone: "all", the "first" or "last" of each cell
      type, or the first "half".
    transit: how Transit-cells skip what they do not use: "switch" within one
      compiled program, "mask" by zero weights (slow, the reference), or
      "recompile" for each new derived cell.
    share_features: whether an operation on a node has one set of weights for
      all edges that leave the node.
    bottleneck: ratio by which channels shrink before the operations; 1 for no
      bottleneck.
    partial_channels: 1/k of the channels pass through the operations, the
      others around them; 1 for all.
    remat: what is computed again for the gradient instead of stored: "none",
      each "cell" or each "op".
    dtype: of activations; weights and statistics are float32.
  """

  engine: Literal["all", "first", "last", "half"] = "all"
  transit: Literal["switch", "mask", "recompile"] = "switch"
  share_features: bool = False
  bottleneck: int = 1
  partial_channels: int = 1
  remat: Literal["none", "cell", "op"] = "none"
  dtype: Literal["float32", "bfloat16"] = "float32"


@dataclasses.dataclass(frozen=True)
class ProgressiveConfig:
  """A search in stages, each deeper and with fewer operations.

  Every stage is a search of its own with `search`'s settings; the weakest
  operations of each edge are left out of the next one's space.

  Attributes:
    cells: cells of the supernet in each stage; none for a search in one stage.
    ops: operations that each edge has in each stage; the first is the space's.
    drop_skip: `search.drop_skip` of each stage.
    max_skips: skip connections that the derived normal cell keeps at most; -1
      for any number.
  """

  cells: tuple[int, ...] = ()
  ops: tuple[int, ...] = ()
  drop_skip: tuple[float, ...] = ()
  max_skips: int = -1


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
  """The training of the derived network.

  Attributes:
    cells: cells of the network.
    channels: C of its first cell.
    stem: "cifar" keeps the resolution, "imagenet" divides it by 8.
    epochs: passes over all training images.
    batch_size: images a step, over all devices.
    optimizer: "sgd" or "adam".
    lr: learning rate in the first epoch.
    lr_min: learning rate that a cosine or linear schedule ends at.
    schedule: of the learning rate, "cosine", "linear" or "exponential".
    lr_decay: factor an epoch of the exponential schedule.
    lr_first_epoch: epoch of the schedule that epoch 0 runs at; 1 as in codes
      that step the schedule before they train.
    lr_warmup: epochs in which the learning rate rises to the schedule's: to
      1/n of it in the first of n, to 2/n in the second; 0 for none.
    lr_batch: batch size that lr and lr_min are for; with another batch_size
      they are scaled in proportion; 0 to take them as they are.
    momentum: of SGD.
    weight_decay: added to the gradient.
    clip_norm: largest global norm of the gradient.
    cutout: side of the square that is blanked in each image; 0 for none.
    drop_path: probability of dropping an edge in the last epoch; it grows
      linearly from 0.
    pool_norm: whether an affine batch norm follows pools, as in the authors'
      network of SNAS (SPEC 6, D6).
    auxiliary_weight: weight of the auxiliary head's loss; 0 for no head.
    label_smoothing: share of the target spread over all classes.
    ema_decay: of an exponential moving average of the weights, which is what
      is then tested and exported; 0 for none.
    dtype: of activations; weights, statistics and logits are float32.
    random_baselines: random genotypes trained alike, for comparison.
    inherit: whether to start from the weights of the supernet, the tuned one
      after a selection; needs the same cells, channels and stem as the search.
      Only with `pool_norm` is it the supernet's child, whose pools have norms.
    checkpoint_seconds: time between two checkpoints within an epoch.
  """

  cells: int = 20
  channels: int = 36
  stem: Literal["cifar", "imagenet"] = "cifar"
  epochs: int = 600
  batch_size: int = 96
  optimizer: Literal["sgd", "adam"] = "sgd"
  lr: float = 0.025
  lr_min: float = 0.0
  schedule: Literal["cosine", "linear", "exponential"] = "cosine"
  lr_decay: float = 0.97
  lr_first_epoch: int = 0
  lr_warmup: int = 0
  lr_batch: int = 0
  momentum: float = 0.9
  weight_decay: float = 3e-4
  clip_norm: float = 5.0
  cutout: int = 16
  drop_path: float = 0.2
  pool_norm: bool = False
  auxiliary_weight: float = 0.4
  label_smoothing: float = 0.0
  ema_decay: float = 0.0
  dtype: Literal["float32", "bfloat16"] = "float32"
  random_baselines: int = 1
  inherit: bool = False
  checkpoint_seconds: float = 60.0


@dataclasses.dataclass(frozen=True)
class SegmentConfig:
  """The training of a derived network that names the class of every pixel.

  The backbone is the network of `evaluate`: its cells, channels, stem and
  pool_norm; `data` names images with masks, and says whether they are flipped.

  Attributes:
    backbone: run folder whose trained network the backbone's weights are
      from; "" for fresh ones.
    train_list: of voc:PATH, the list of training images, such as "trainaug".
    output_stride: pixels of the image to one of the features, 16 or 8.
    rates: of the head's 3x3 convolutions at output stride 16; doubled at 8.
    features: channels of each of the head's branches.
    separable: whether the head's 3x3 convolutions are separable.
    dropout: share of the head's last features that is dropped in training.
    crop_size: pixels a side of what training sees of an image.
    eval_size: pixels a side that whole images are padded to when measuring.
    scale_min: the smallest factor of an image's size in training.
    scale_max: the largest.
    epochs: passes over all training images.
    batch_size: images a step, over all devices.
    lr: learning rate in the first step.
    lr_power: of the share of steps that are left, which lr is multiplied by.
    momentum: of SGD.
    weight_decay: added to the gradient.
    checkpoint_seconds: time between two checkpoints within an epoch.
  """

  backbone: str = ""
  train_list: str = "train"
  output_stride: Literal[16, 8] = 16
  rates: tuple[int, ...] = (6, 12, 18)
  features: int = 256
  separable: bool = False
  dropout: float = 0.1
  crop_size: int = 512
  eval_size: int = 512
  scale_min: float = 0.5
  scale_max: float = 2.0
  epochs: int = 46
  batch_size: int = 16
  lr: float = 0.007
  lr_power: float = 0.9
  momentum: float = 0.9
  weight_decay: float = 4e-5
  checkpoint_seconds: float = 60.0


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
  """Where what was found is looked up; changes nothing that is found.

  Attributes:
    table: the user's table of NAS-Bench-201, a path; "" for none.
  """

  table: str = ""


@dataclasses.dataclass(frozen=True)
class Config:
  """A whole run.

  Attributes:
    name: of the experiment; also of the run folder unless one is given.
    seed: of everything that is drawn.
    preset: "paper", or "authors" for the settings of the authors' code where
      it differs.
    space: name of the search space, or a dotted path "package.module:NAME".
    method: the search method.
    data: the images.
    supernet: what the supernet computes.
    search: the search.
    progressive: the search in stages.
    selection: what reads the genotype off the trained supernet.
    evaluate: the training of the derived network.
    segment: its training for the class of every pixel.
    benchmark: where what was found is looked up; no part of the run's identity.
  """

  name: str
  seed: int = 0
  preset: Literal["paper", "authors"] = "paper"
  space: str = "darts"
  method: MethodConfig = dataclasses.field(default_factory=MethodConfig)
  data: DataConfig = dataclasses.field(default_factory=DataConfig)
  supernet: SupernetConfig = dataclasses.field(default_factory=SupernetConfig)
  search: SearchConfig = dataclasses.field(default_factory=SearchConfig)
  progressive: ProgressiveConfig = dataclasses.field(
    default_factory=ProgressiveConfig
  )
  selection: SelectionConfig = dataclasses.field(
    default_factory=SelectionConfig
  )
  evaluate: EvaluateConfig = dataclasses.field(default_factory=EvaluateConfig)
  segment: SegmentConfig = dataclasses.field(default_factory=SegmentConfig)
  benchmark: BenchmarkConfig = dataclasses.field(
    default_factory=BenchmarkConfig
  )


SECTIONS = {
  "method": MethodConfig,
  "data": DataConfig,
  "supernet": SupernetConfig,
  "search": SearchConfig,
  "progressive": ProgressiveConfig,
  "selection": SelectionConfig,
  "evaluate": EvaluateConfig,
  "segment": SegmentConfig,
  "benchmark": BenchmarkConfig,
}
RECORDS = (Config, *SECTIONS.values())
