"""Checks of noise processes, of base densities and of samplers."""

import numpy as np
import torch
from torch import Tensor

from curriculum_search.conditions import ClassCondition, Condition, Unconditional
from curriculum_search.diffusion import DDPM, EDM, Density, Flow, Histogram, Process, Sampler
from curriculum_search.testing._require import check_configuration, require

_SHAPE = (8, 3, 4, 4)


def check_process(process: Process) -> None:
    """log-SNR falls with q, levels and quantiles are inverse, noise is added as log-SNR says, and losses are per image.

    Raises:
        AssertionError: what does not hold.
    """
    check_configuration(process, Process)
    num_points = process.num_levels or 1000
    q = (np.arange(num_points) + 0.5) / num_points
    _check_levels(process, q)
    log_snr = process.log_snr(q)
    require(log_snr.dtype == np.float64 and log_snr.shape == q.shape, f"{process}: log_snr of numpy must be float64")
    require(np.all(np.isfinite(log_snr)), f"{process}: log_snr is not finite inside (0, 1)")
    require(np.all(np.diff(log_snr) < 0), f"{process}: log_snr must fall with q")
    single = process.log_snr(torch.from_numpy(q).float())
    require(single.dtype == torch.float32, f"{process}: log_snr of float32 must be float32, not {single.dtype}")
    close = np.allclose(single.double().numpy(), log_snr, atol=0.02, rtol=1e-3)
    require(close, f"{process}: log_snr of float32 tensors differs from that of arrays")
    _check_noise(process)
    _check_losses(process)


def _check_levels(process: Process, q: np.ndarray) -> None:
    level, back = process.level(q), process.quantile(process.level(q))
    if process.num_levels is None:
        require(np.allclose(back, q, atol=1e-9), f"{process}: quantile(level(q)) differs from q")
        require(np.all(np.diff(level) != 0), f"{process}: two q have one level")
    else:
        require(np.array_equal(level, np.arange(process.num_levels)), f"{process}: level must be floor(q T)")
        require(np.allclose(back, q), f"{process}: quantile(t) must be the middle of its bin, (t + 1/2) / T")
        require(process.level(torch.tensor([0.5])).dtype == torch.int64, f"{process}: timesteps must be int64")
        # A timestep's bin is half-open, for the float32 that samplers draw, too.
        for side in (0.0, 2.0):
            border = np.arange(1, process.num_levels) / process.num_levels
            near = torch.nextafter(torch.from_numpy(border).float(), torch.tensor(side))
            expected = np.floor(near.double().numpy() * process.num_levels)
            exact = np.array_equal(process.level(near).numpy(), expected)
            require(exact, f"{process}: level rounds the float32 next to a border into the wrong timestep")
    ends = process.level(torch.tensor([0.0, 1.0]))
    require(bool(ends.double().isfinite().all()), f"{process}: levels at q = 0 and q = 1 must be finite, not {ends}")


def _check_noise(process: Process) -> None:
    q = torch.linspace(0.05, 0.95, _SHAPE[0])
    one, zero = torch.ones(_SHAPE), torch.zeros(_SHAPE)
    alpha, sigma = process.add_noise(one, q, zero), process.add_noise(zero, q, one)
    log_snr = 2.0 * (alpha.log() - sigma.log())[:, 0, 0, 0]
    close = torch.allclose(log_snr, process.log_snr(q), atol=1e-3)
    require(close, f"{process}: add_noise gives log-SNR {log_snr}, log_snr says {process.log_snr(q)}")


def _check_losses(process: Process) -> None:
    random = torch.Generator().manual_seed(0)
    images, noise = (torch.randn(_SHAPE, generator=random) for _ in range(2))
    q, condition = torch.linspace(0.05, 0.95, _SHAPE[0]), ClassCondition.of(torch.arange(_SHAPE[0]))
    scale = torch.full((), 0.5, requires_grad=True)
    channels = process.out_channels(_SHAPE[1])
    require(channels >= _SHAPE[1], f"{process}: out_channels({_SHAPE[1]}) is {channels}")

    def output(x: Tensor) -> Tensor:
        return scale * x.repeat(1, -(-channels // _SHAPE[1]), 1, 1)[:, :channels]

    def network(x: Tensor, time: Tensor, given: Condition) -> Tensor:
        require(x.shape == _SHAPE, f"{process}: the network got x {tuple(x.shape)} for images {_SHAPE}")
        right = time.shape == _SHAPE[:1] and time.dtype == torch.float32
        require(right, f"{process}: time must be float32 [B], not {time.dtype} {tuple(time.shape)}")
        require(given is condition, f"{process}: the condition does not reach the network as it is")
        return output(x)

    losses = process.losses(network, images, q, noise, condition)
    right = losses.shape == _SHAPE[:1] and losses.dtype == torch.float32
    require(right, f"{process}: losses must be float32 [B], not {losses.dtype} {tuple(losses.shape)}")
    require(bool(losses.isfinite().all()), f"{process}: losses are not finite: {losses}")
    flipped = (images.flip(0), q.flip(0), noise.flip(0))
    reordered = process.losses(lambda x, t, y: output(x), *flipped, Unconditional()).flip(0)
    require(torch.allclose(reordered, losses, rtol=1e-4), f"{process}: an image's loss depends on its batch")
    (slope,) = torch.autograd.grad(losses.sum(), scale)
    require(bool(slope != 0), f"{process}: no gradient reaches the network")


def check_density(density: Density) -> None:
    """The density is one for every kind of process, and draws from it follow its distribution function.

    Raises:
        AssertionError: what does not hold, and for which process.
    """
    check_configuration(density, Density)
    u = (torch.arange(4096, dtype=torch.float64) + 0.5) / 4096
    for process in (DDPM(), EDM(), Flow()):
        where = f"{density}, {process}"
        drawn = density.piecewise(process)
        require(drawn.cdf[0] == 0 and drawn.cdf[-1] == 1, f"{where}: its mass is not 1")
        exact = drawn.icdf(u.numpy())
        require(np.allclose(drawn.cdf_at(exact), u.numpy(), atol=1e-9), f"{where}: icdf is not the inverse of the cdf")
        q = drawn.table("cpu").draw(u.float())
        require(bool((q.diff() >= 0).all()), f"{where}: draws must rise with u")
        values = q.double().numpy()
        require(np.all((values >= 0) & (values <= 1)), f"{where}: drew outside [0, 1]")
        require(np.all(drawn.pdf_at(values) > 0), f"{where}: drew where the density is zero")
        error = np.abs(drawn.cdf_at(values) - u.numpy()).max()
        require(error < 1e-3, f"{where}: draws are off the distribution function by {error:.2g}")
        again = Histogram.of(drawn).piecewise(process)
        require(np.allclose(again.cdf_at(drawn.knots), drawn.cdf, atol=1e-12), f"{where}: the histogram of it differs")


def check_sampler(sampler: Sampler) -> None:
    """Under each process that it fits, a sample follows from its own noise, condition and generator alone.

    Raises:
        AssertionError: what does not hold, and for which process; or it fits none.
    """
    check_configuration(sampler, Sampler)
    fitting = [process for process in (DDPM(), EDM(), Flow()) if _fits(sampler, process)]
    require(fitting, f"{sampler}: check refuses the processes ddpm, edm and flow")
    for process in fitting:
        _check_samples(sampler, process)


def _fits(sampler: Sampler, process: Process) -> bool:
    try:
        sampler.check(process)
    except ValueError:
        return False
    return True


def _check_samples(sampler: Sampler, process: Process) -> None:
    where, count = f"{sampler}, {process}", _SHAPE[0]
    noise = torch.randn(_SHAPE, generator=torch.Generator().manual_seed(0))
    channels = process.out_channels(_SHAPE[1])

    def network(x: Tensor, time: Tensor, given: Condition) -> Tensor:
        require(x.shape[1:] == _SHAPE[1:], f"{where}: the network got x {tuple(x.shape)} for images {_SHAPE[1:]}")
        right = time.shape == x.shape[:1] and time.dtype == torch.float32
        require(right, f"{where}: time must be float32 [B], not {time.dtype} {tuple(time.shape)}")
        if not isinstance(given, ClassCondition):
            raise AssertionError(f"{where}: the network got the condition {given}")
        rise = given.labels.float().view(-1, 1, 1, 1)
        return torch.tanh(x + rise).repeat(1, -(-channels // _SHAPE[1]), 1, 1)[:, :channels]

    def samples(which: slice, used: Sampler = sampler) -> Tensor:
        numbers = torch.arange(count)[which]
        generators = [torch.Generator().manual_seed(int(number)) for number in numbers]
        return used.sample(process, network, noise[which], ClassCondition.of(numbers), generators)

    state = torch.get_rng_state()
    whole = samples(slice(None))
    require(torch.equal(torch.get_rng_state(), state), f"{where}: draws random numbers that are not its generators'")
    right = whole.shape == _SHAPE and whole.dtype == torch.float32
    require(right, f"{where}: samples must be float32 {_SHAPE}, not {whole.dtype} {tuple(whole.shape)}")
    require(bool(whole.isfinite().all()), f"{where}: samples are not finite")
    require(not whole.requires_grad, f"{where}: samples carry a gradient; sample under torch.no_grad()")
    require(torch.equal(samples(slice(None)), whole), f"{where}: the same noise and generators give other samples")
    parts = torch.cat([samples(slice(0, 3)), samples(slice(3, count))])
    require(torch.allclose(parts, whole, atol=1e-4), f"{where}: a sample depends on its batch")
    free = samples(slice(None), sampler.unclipped())
    require(free.shape == _SHAPE and bool(free.isfinite().all()), f"{where}: unclipped() gives no samples")
