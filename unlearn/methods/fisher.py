"""Fisher forgetting: noise where the retain set does not hold the weights in place."""

import torch
from torch import Tensor

from unlearn.methods.base import UnlearningMethod, check
from unlearn.methods.parts.fisher_information import fisher_diagonal


def noise_variance(
    information: Tensor, num_classes: int, alpha: float, forgotten: tuple[int, ...] = ()
) -> Tensor:
    """Variance of the noise on one parameter tensor, of its shape.

    alpha min(1 / (F + 1e-8), 1000), at most 100 alpha where the first dimension counts classes (the
    last layer); averaged over the second dimension; ten times that for vectors. When whole classes
    are forgotten, their rows of the last layer get 1e-4, and all of that layer is multiplied by 10.

    Args:
        information: diagonal Fisher information of the tensor, >= 0.
        num_classes: how many classes there are.
        alpha: scale, > 0.
        forgotten: classes to be forgotten as a whole.
    """
    last = information.shape[0] == num_classes
    variance = alpha * (1 / (information + 1e-8)).clamp_max(1e2 if last else 1e3)
    if variance.dim() > 1:
        variance = variance.mean(1, keepdim=True).expand_as(variance).clone()
    if last and forgotten:
        variance[list(forgotten)] = 1e-4
    return variance * 10 if variance.dim() == 1 or (last and forgotten) else variance


class FisherForgetting(UnlearningMethod):
    """Adds Gaussian noise to every weight in one shot. The less a weight matters to the retain set,
    measured by the diagonal of the Fisher information, the more noise it gets. When whole classes
    are forgotten, their rows of the last layer start from zero.

        theta <- theta + sqrt(v) N(0, 1),   v = alpha min(1 / (F + 1e-8), 1000)
        F_j = mean over x of sum_c p_c(x) (d CE(f(x), c) / d theta_j)^2

    Source: Golatkar, Achille, Soatto, Eternal Sunshine of the Spotless Net, CVPR 2020 (arXiv
    1911.04933), as set up by JiT (Foster et al., arXiv 2402.01401).
    Reads: the retain set, and which classes are to be forgotten.
    Differs from the official code: gradients of many examples at once instead of one by one, the
    same sum.

    Args:
        alpha: scale of the variance, > 0.
        batch_size: examples loaded at once; does not change the result.
        memory_gb: GB that gradients may take at once; does not change the result.
    """

    requires = ("retain",)
    tasks = ("classification",)

    def __init__(self, *, alpha: float, batch_size: int, memory_gb: float):
        super().__init__()
        self.alpha = check("alpha", alpha, low=0, open_low=True)
        self.batch_size = int(check("batch_size", batch_size, low=1))
        self.memory_gb = check("memory_gb", memory_gb, low=0, open_low=True)

    def prepare(self) -> None:
        classes, forgotten = self.task.num_outputs, self.data.forget_classes
        loader = self.data.loader(self.data.retain, self.batch_size, device=self.device)
        information = fisher_diagonal(self.net, loader, classes, memory_gb=self.memory_gb)
        with torch.no_grad():
            for name, parameter in self.net.named_parameters():
                if name not in information:
                    continue
                variance = noise_variance(information[name], classes, self.alpha, forgotten)
                if forgotten and len(parameter) == classes:
                    parameter[list(forgotten)] = 0
                noise = torch.empty_like(parameter).normal_(generator=self.device_generator)
                parameter.addcmul_(variance.sqrt(), noise)
