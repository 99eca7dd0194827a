"""A residual network in plain PyTorch, with the names of published files.

It reads the same columns as our own builder and shares no code with it.
"""

import re

import torch
from torch import nn

torch.set_num_threads(1)  # more wait for those of TensorFlow


class Squeeze(nn.Module):
    def __init__(self, channels, ratio):
        super().__init__()
        inner = max(8, channels // ratio)
        self.fc1 = nn.Conv2d(channels, inner, 1)
        self.fc2 = nn.Conv2d(inner, channels, 1)

    def forward(self, x):
        y = torch.relu(self.fc1(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.fc2(y))


class Block(nn.Module):
    def __init__(self, row, channels, width, stride, se):
        super().__init__()
        out = width * 4 if row.bottleneck else width
        if row.bottleneck:
            first = stride if row.stride_first else 1
            layers = [
                (width * row.inner[0], 1, first, 1),
                (width * row.inner[1], 3, stride // first, row.groups),
                (out, 1, 1, 1),
            ]
        else:
            layers = [(width, 3, stride, 1), (width, 3, 1, 1)]
        self.count, self.downsample, self.squeeze = len(layers), None, se
        inputs = channels
        for i, (filters, kernel, step, groups) in enumerate(layers, 1):
            conv = convolution(row, inputs, filters, kernel, step, groups)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", nn.BatchNorm2d(filters, row.epsilon))
            inputs = filters
        if stride != 1 or channels != out:
            kernel = row.shortcut_kernel if stride != 1 else 1
            self.downsample = nn.Sequential(
                convolution(row, channels, out, kernel, stride),
                nn.BatchNorm2d(out, row.epsilon),
            )
        if row.se_ratio:
            self.add_module(se, Squeeze(out, row.se_ratio))

    def forward(self, x):
        y = x
        for i in range(1, self.count + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = torch.relu(y) if i < self.count else y
        if hasattr(self, self.squeeze):
            y = getattr(self, self.squeeze)(y)
        return torch.relu(y + (self.downsample(x) if self.downsample else x))


def convolution(row, inputs, filters, kernel, stride, groups=1):
    return nn.Conv2d(
        inputs,
        filters,
        kernel,
        stride,
        kernel // 2,
        groups=groups,
        bias=row.use_bias,
    )


class Network(nn.Module):
    """float [N, 3, H, W], normalised -> logits [N, classes].

    Args:
        row: columns as in `landmark_tf.models.blocks.ResNet`.
        classes: width of the output.
        cadene: names and pooling of Cadene's pretrained-models, else of
            torchvision and timm.
    """

    def __init__(self, row, classes, cadene):
        super().__init__()
        stem = nn.Module()
        channels = 3
        for i, (kernel, filters) in enumerate(row.stem, 1):
            conv = convolution(
                row, channels, filters, kernel, 2 if i == 1 else 1
            )
            stem.add_module(f"conv{i}", conv)
            stem.add_module(f"bn{i}", nn.BatchNorm2d(filters, row.epsilon))
            channels = filters
        self.stem_count, self.head = len(row.stem), "fc"
        if cadene:
            self.layer0, self.head = stem, "last_linear"
            self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        else:
            for name, module in stem.named_children():
                self.add_module(name, module)
            self.pool = nn.MaxPool2d(3, 2, padding=1)
        for stage, (depth, width) in enumerate(zip(row.depths, row.widths)):
            blocks = []
            for index in range(depth):
                stride = 2 if stage and not index else 1
                se = "se_module" if cadene else "se"
                blocks.append(Block(row, channels, width, stride, se))
                channels = width * 4 if row.bottleneck else width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.add_module(self.head, nn.Linear(channels, classes))

    def forward(self, x):
        stem = getattr(self, "layer0", self)
        for i in range(1, self.stem_count + 1):
            x = getattr(stem, f"conv{i}")(x)
            x = torch.relu(getattr(stem, f"bn{i}")(x))
        x = self.pool(x)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return getattr(self, self.head)(x.mean((2, 3)))


def randomise(network, seed=0):
    """Draws every weight and statistic.

    A block adds a little to its shortcut, as in a trained network: were it
    otherwise, activations would double in every block, and two computations
    in float32 would not agree whoever makes them.
    """
    torch.manual_seed(seed)
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, mode="fan_in")
            if isinstance(module, nn.Linear):  # a loss that is not saturated
                module.weight.data *= 0.05
            elif re.match(r"layer[1-4].*conv[23]", name):
                module.weight.data *= 0.25
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1)


def inputs(pictures, row):
    """uint8 [N, H, W, 3] -> what the network takes."""
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (row.mean, row.std))
    return (x - mean) / std


def logits(network, pictures, row):
    network.eval()
    with torch.no_grad():
        return network(inputs(pictures, row)).numpy()


def step(network, pictures, labels, row, rate):
    """One step of SGD in training mode, on uint8 pictures [N, H, W, 3]."""
    network.train()
    optimizer = torch.optim.SGD(
        network.parameters(), rate, momentum=0.9, foreach=False
    )
    loss = nn.functional.cross_entropy(
        network(inputs(pictures, row)), torch.from_numpy(labels).long()
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
