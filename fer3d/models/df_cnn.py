"""DF-CNN: branches, fusion by convolution, a 32-D fused feature, and a softmax or a linear SVM (spec 2.1 and 2.3).

From abstracts [F]: six attribute maps of a textured 3D face, a feature extraction subnet and a feature fusion subnet,
a 32-dimensional fused feature, prediction by its softmax or by a linear SVM. Recalled [M]: VGG-M convolutions from
ImageNet at 224 pixels, fusion by convolution over concatenated maps, dropout. Layer sizes are ours [D]; so is the
single branch of three channels for the normals, where the paper has three maps.

References:
    .. [1] Li, Sun, Xu, Chen. Multimodal 2D+3D facial expression recognition with deep fusion convolutional neural
       network. IEEE Transactions on Multimedia 19(12), 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from fer3d.data.channels import channel_names
from fer3d.maps.registry import STANDARD_GROUPS
from fer3d.models.dff_cnn import FusionNetwork, FusionSettings

FUSED = 32  # [F]


class DFCNN(FusionNetwork):
    """DF-CNN: 1 x 1 and 3 x 3 fusion convolutions, flattened, a layer to the 32-D feature, one linear layer.

    The default branches return features of the whole face, for which the second convolution is left out.

    Args:
        maps: Map groups, in the order of the input's channels.
        classes: K.
        size: H = W of the input, on which the size of the layer after flattening depends.
        backbone, width: Backbone and width of the branches, see `fer3d.models.backbones`.
        fusion: Features of the first fusion convolution; the last has half as many, at half the resolution.
        dropout: Dropout rate before the 32-D layer.
        location_dropout, mask, position, map_dropout, auxiliary: See `fer3d.models.dff_cnn.DFFCNN`.

    Raises:
        ArgumentError: if a map group or the backbone is unknown.
    """

    class Settings(FusionSettings):
        """Settings of DF-CNN."""

        of_training: ClassVar[frozenset[str]] = frozenset({"read_out", "svm_c"})

        read_out: Literal["softmax", "svm"] = Field("softmax", description="Classifier: softmax, or a linear SVM.")
        svm_c: float = Field(1.0, gt=0.0, description="C of that SVM; the range in the paper is 2^-5 to 2^5.")

        def unused_own(self) -> dict[str, str]:
            """See `NetworkSettings.unused_own`."""
            own = super().unused_own()
            if self.read_out != "svm":
                own["svm_c"] = f"is of an SVM, `read_out` is {self.read_out}"
            return own

    def __init__(
        self,
        maps: Sequence[str] = STANDARD_GROUPS,
        classes: int = 6,
        *,
        size: int = 96,
        backbone: str = "oriented",
        width: int | None = None,
        fusion: int = 128,
        dropout: float = 0.5,
        location_dropout: float = 0.5,
        mask: bool = False,
        position: bool = True,
        map_dropout: float = 0.0,
        auxiliary: float = 0.3,
    ) -> None:
        super().__init__(maps, backbone, width, location_dropout, mask, position, map_dropout, auxiliary, classes)
        convolutions = nn.Sequential(*self.fusion_convolutions(fusion, fusion // 2), nn.Flatten())
        self.fuse = nn.Sequential(
            convolutions,
            nn.Dropout(dropout),
            nn.Linear(self._flattened(convolutions, size), FUSED),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(FUSED, classes)

    def _flattened(self, convolutions: nn.Sequential, size: int) -> int:
        probe = torch.zeros(1, len(channel_names(self.maps)) + 1, size, size)
        self.eval()
        convolutions.eval()
        with torch.no_grad():
            length = int(convolutions(torch.cat(self.branch_features(probe), dim=1)).shape[1])
        self.train()
        convolutions.train()
        return length
