"""Cells as the backbone of DeepLabV3 on PASCAL VOC 2012.

Paper: EnTranNAS, Table 5: 76.3, 76.8 and 77.1 % mIoU on the validation images
for the cells of EnTranNAS-DST with lambda 0.2, 0.1 and 0.05, searched and
trained on ImageNet.
Recipe: DeepLabV3 (arXiv:1706.05587), Sec. 4.1: output stride 16, batches of
16, 30,000 steps on the 10,582 images of `trainaug`, rate 0.007 with the "poly"
schedule; measured on the 1,449 of `val`, whole and once, not flipped or scaled.
Cost: DARTS_V2 with 48 channels has 10.0M parameters, 6.0M of them in the head;
a step on 2 windows needs 0.9 GB, compiled for CPU, and grows with their number.
Differs from it: windows of 512 pixels instead of 513, since a reduction cell
halves even sizes; the weight decay, 4e-5, is ours. It has not been compared
with what EnTranNAS trained with, and no run of ours has been made on VOC.

The backbone is trained first, with the number of channels that it gets:

jnas transfer GENOTYPE --config configs/mobile_imagenet.py
--target 'madds<600M' --workdir TRAINED

Command: jnas segment --config configs/segment_voc2012.py
--segment.backbone TRAINED --evaluate.channels N
--data.source voc:VOCdevkit/VOC2012

The masks of `trainaug` go to SegmentationClassAug, or, all of them, to
SegmentationClass; --segment.train_list train takes VOC's own 1,464 images.
"""

import dataclasses

from jnas import config


def get_config() -> config.Config:
  """46 epochs of 661 steps; the network of mobile_imagenet."""
  base = config.load("mobile_imagenet")
  return config.Config(
    name="segment_voc2012",
    data=config.DataConfig(source="voc:VOCdevkit/VOC2012"),
    evaluate=dataclasses.replace(
      base.evaluate, auxiliary_weight=0.0, label_smoothing=0.0
    ),
    segment=config.SegmentConfig(train_list="trainaug"),
  )
