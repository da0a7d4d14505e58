import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.models import resnet18, resnet34, resnet50

from reconcile.errors import ReconcileError
from reconcile.training.network import CountNetwork, predict_logits
from reconcile.training.start_weights import read_start_weights
from reconcile.training.warm_start import start_from

PIXELS = np.random.default_rng(1).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
NORMS = ("weight", "bias", "running_mean", "running_var")


def pretrained(architecture, labels=4):
    """Return a network whose batch norms are not as they begin."""
    torch.manual_seed(5)
    network = architecture(num_classes=labels)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for name, low, high in zip(NORMS, (0.5, -0.2, -0.2, 0.5), (1.0, 0.2, 0.2, 1.5), strict=True):
                getattr(module, name).data.uniform_(low, high)
    return network.eval()


def folded(network):
    """Return the weights with each batch norm folded into the convolution before it."""
    modules, arrays = dict(network.named_modules()), {}
    for name, module in modules.items():
        if isinstance(module, nn.Conv2d):
            norm = modules[name[:-1] + "1" if name.endswith("downsample.0") else name.replace("conv", "bn")]
            weight, bias = fuse_conv_bn_weights(
                module.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            arrays |= {f"{name}.weight": weight.detach().numpy(), f"{name}.bias": bias.detach().numpy()}
    arrays |= {f"fc.{name}": value.detach().numpy() for name, value in network.fc.named_parameters()}
    return arrays


def logits_of(architecture):
    """Return the logits of a pretrained network for PIXELS."""
    network = CountNetwork(4)
    network.resnet = architecture
    return predict_logits(network, PIXELS)


@pytest.mark.parametrize("architecture", [resnet18, resnet34])
@pytest.mark.parametrize("wrap", [dict, lambda state: {"state_dict": {f"module.{n}": v for n, v in state.items()}}])
def test_state_dict_gives_the_output_of_its_network(tmp_path, architecture, wrap):
    source = pretrained(architecture)
    torch.save(wrap(source.state_dict()), tmp_path / "weights.pth")
    network = CountNetwork(4)
    said = start_from(str(tmp_path / "weights.pth"), network, PIXELS)
    np.testing.assert_allclose(predict_logits(network, PIXELS), logits_of(source), atol=1e-4)
    assert "random weights" not in said
    assert ("layer3.5, layer4.2 begin as the identity" in said) == (architecture is resnet18)


@pytest.mark.parametrize("architecture", [resnet18, resnet34])
def test_folded_archive_gives_the_output_of_its_network(tmp_path, architecture):
    source = pretrained(architecture)
    np.savez(tmp_path / "folded.npz", **folded(source))
    network = CountNetwork(4)
    start_from(str(tmp_path / "folded.npz"), network, PIXELS)
    np.testing.assert_allclose(predict_logits(network, PIXELS), logits_of(source), atol=1e-3)


def test_missing_layer_keeps_random_weights_and_is_named(tmp_path):
    source = pretrained(resnet18, labels=1000)
    arrays = {n: v for n, v in folded(source).items() if not (n.startswith("layer4") and n.endswith("conv1.weight"))}
    np.savez(tmp_path / "part.npz", **arrays)
    network = CountNetwork(4)
    before = network.resnet.layer4[0].conv1.weight.clone()
    said = start_from(str(tmp_path / "part.npz"), network, PIXELS)
    assert torch.equal(network.resnet.layer4[0].conv1.weight, before)
    assert "7 parts of the network took its weights" in said
    assert said.endswith("layer4.0, layer4.1, layer4.2 keep random weights")


def test_published_weights_come_from_the_cache_of_torch(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    source = pretrained(resnet34, labels=1000)
    torch.save(source.state_dict(), tmp_path / "hub" / "checkpoints" / "resnet34-b627a593.pth")
    weights = read_start_weights("torchvision:IMAGENET1K_V1")
    assert torch.equal(weights["layer4.2.conv2.weight"], source.layer4[2].conv2.weight)


def test_published_weights_with_an_unknown_name_are_refused():
    with pytest.raises(ReconcileError, match="torchvision has no weights IMAGENET1K_V9 for ResNet34"):
        read_start_weights("torchvision:IMAGENET1K_V9")


def test_network_of_another_kind_is_refused(tmp_path):
    torch.save(resnet50(num_classes=2).state_dict(), tmp_path / "big.pt")
    with pytest.raises(ReconcileError, match=r"big\.pt: layer1\.0\.conv1 has the shape .*only weights of ResNet18"):
        start_from(str(tmp_path / "big.pt"), CountNetwork(4), PIXELS)


class Code:
    """An object whose pickle runs code."""

    def __reduce__(self):
        return print, ("code of the file was run",)


@pytest.mark.parametrize(
    ("name", "write", "reason"),
    [
        ("a.npz", lambda path: path.write_bytes(b"PK"), "is not a numpy archive of weights"),
        ("a.pth", lambda path: path.write_bytes(b"no"), "is not a state dict of torch"),
        ("a.pt", lambda path: torch.save(Code(), path), "is not a state dict of torch"),
        ("a.pt", lambda path: torch.save([1], path), "it holds a list"),
        ("a.npz", lambda path: np.savez(path, other=np.zeros(3)), "has no weights for conv1"),
        ("a.npz", lambda path: np.savez(path, other=np.array([Code()])), "is not a numpy archive of weights"),
        ("a.onnx", lambda path: path.write_bytes(b"no"), "is not an ONNX file"),
        ("none.npz", lambda _: None, "there is no file"),
    ],
)
def test_file_without_weights_is_refused_by_name(tmp_path, capfd, name, write, reason):
    write(tmp_path / name)
    with pytest.raises(ReconcileError, match=reason) as refused:
        start_from(str(tmp_path / name), CountNetwork(4), PIXELS)
    assert name in str(refused.value)
    assert "code of the file" not in capfd.readouterr().out
