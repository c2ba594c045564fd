"""What each player minimises, game by game: one function per player, of D's logits, as a mean over the batch.

    loss_D = minimax_d(D(real), D(fake.detach()))        loss_G = nonsaturating_g(D(fake))

    l, l'      D's logits on real and on generated samples; D(x) = σ(l) in the games where D is a probability.
               In the least-squares game l is compared with labels, in Wasserstein's it is the critic's value C(x),
               in an f-GAN the number v that goes into the output activation
    softplus   -log σ(l) = softplus(-l) and -log(1 - σ(l)) = softplus(l): the same numbers, without ever forming a
               probability that can round to 0. So the losses are finite at logits of ±1e4, but for those that grow
               as e^l by definition: the maximum-likelihood game, and three of the f-GANs

A `Game` is a pair of them, and `game("hinge")` finds it by name: another name, another game.

Stands on ops/ and divergences.py. Read penalties.py next, for what is added to D's loss, then algorithm1.py.
"""

from functools import partial
from typing import NamedTuple

from ..ops import exp, mean, relu, softplus
from .divergences import DIVERGENCES


def minimax_d(real, fake, *, smooth=1.0):
    """½ E[-log D(x)] + ½ E[-log(1 - D(G(z)))]: the cross-entropy of telling real from generated.

    real, fake   D's logits on a batch of each; any shape
    smooth       D's target for real samples: one-sided label smoothing below 1, as 0.9. The target for generated
                 samples stays 0, or the best D would have a wrong optimum wherever G has its samples.
    Source: Goodfellow et al. 2014, equation 1, halved as in Goodfellow 2016 (NIPS tutorial), equation 8; the smoothing
    Salimans et al. 2016, section 3.4.
    """
    if not 0 < smooth <= 1:
        raise ValueError(f"minimax_d: smooth is the target for real samples, above 0 and at most 1, got {smooth}")
    loss = 0.5 * mean(softplus(-real)) + 0.5 * mean(softplus(fake))
    # -s log σ(l) - (1 - s) log(1 - σ(l)) = softplus(-l) + (1 - s) l
    return loss if smooth == 1 else loss + 0.5 * (1 - smooth) * mean(real)


def minimax_g(fake):
    """½ E[log(1 - D(G(z)))]: the negative of D's loss. Its gradient vanishes where D is sure that a sample is fake.

    fake   D's logits on generated samples
    Source: Goodfellow et al. 2014, equation 1; Goodfellow 2016 (NIPS tutorial), equation 10.
    """
    return -0.5 * mean(softplus(fake))


def nonsaturating_g(fake):
    """E[-log D(G(z))]: the same fixed point as minimax_g, with a strong gradient where D is sure.

    fake   D's logits on generated samples
    Source: Goodfellow et al. 2014, section 3.  The tutorial of 2016 (its equation 13) halves it; the paper does not.
    """
    return mean(softplus(-fake))


def maximum_likelihood_g(fake):
    """-½ E[exp(σ⁻¹(D(G(z))))] = -½ E[e^l']: with the best D, its expected gradient is that of ½ KL(data ‖ model).

    fake   D's logits on generated samples. e^l' is infinite in float32 from l' = 89 on: here that is the loss itself,
           of which a few samples carry nearly all.
    Source: Goodfellow 2014 (On distinguishability criteria); Goodfellow 2016 (NIPS tutorial), section 3.2.4.
    """
    return -0.5 * mean(exp(fake))


def least_squares_d(real, fake, *, a=0.0, b=1.0):
    """½ E[(D(x) - b)²] + ½ E[(D(G(z)) - a)²]: D's output, without a sigmoid, is drawn to a label.

    a, b   the labels of generated and real samples: 0, 1 (with c = 1), or -1, 1 (with c = 0), where the best D makes
           G's loss Pearson's χ² between the model and the average of both, up to a factor
    Source: Mao et al. 2017 (LSGAN), equation 2.
    """
    return 0.5 * mean((real - b) ** 2) + 0.5 * mean((fake - a) ** 2)


def least_squares_g(fake, *, c=1.0):
    """½ E[(D(G(z)) - c)²].   c: the label that G wants for its samples.

    Source: Mao et al. 2017 (LSGAN), equation 2; equation 8 for c = 0 and equation 9 for c = b = 1.
    """
    return 0.5 * mean((fake - c) ** 2)


def hinge_d(real, fake):
    """E[max(0, 1 - l)] + E[max(0, 1 + l')]: samples on the right side of the margin teach D nothing more.

    Source: Lim and Ye 2017 (Geometric GAN); Miyato et al. 2018 (spectral normalisation), equation 16.
    """
    return mean(relu(1 - real)) + mean(relu(1 + fake))


def hinge_g(fake):
    """-E[l'].   Source: Lim and Ye 2017 (Geometric GAN); Miyato et al. 2018, equation 17."""
    return -mean(fake)


def wasserstein_d(real, fake):
    """E[C(G(z))] - E[C(x)]: minus the critic's gap, which is at most W1(data, model) while C has slope at most 1.

    The slope is held by gradient_penalty, clip_weights or spectral_norm, see penalties.py.
    Source: Arjovsky et al. 2017 (WGAN), equation 2 and Algorithm 1.
    """
    return mean(fake) - mean(real)


def wasserstein_g(fake):
    """-E[C(G(z))].   Source: Arjovsky et al. 2017 (WGAN), equation 3 and Algorithm 1."""
    return -mean(fake)


def f_gan_d(divergence, real, fake):
    """-E[g(v)] + E[f*(g(v'))]: minus a lower bound of the divergence D_f(data ‖ model), which D raises.

    divergence   a row of divergences.py: f* and the output activation g
    real, fake   D's output v on real and v' on generated samples
    Source: Nowozin et al. 2016 (f-GAN), equations 6 and 7.
    """
    return mean(divergence.conjugate_at(fake)) - mean(divergence.activation(real))


def f_gan_g(divergence, fake):
    """-E[f*(g(v'))]: G lowers the bound that D raises.   Source: Nowozin et al. 2016 (f-GAN), equation 6."""
    return -mean(divergence.conjugate_at(fake))


def f_gan_nonsaturating_g(divergence, fake):
    """-E[g(v')]: G wants its samples to be taken for real, as in nonsaturating_g, which is the row "gan" of this.

    Source: Nowozin et al. 2016 (f-GAN), section 3.2.
    """
    return -mean(divergence.activation(fake))


class Game(NamedTuple):
    """Two players: `d(real, fake)` is what D minimises, `g(fake)` what G minimises, both functions of D's logits."""

    d: object
    g: object


GAMES = {
    "minimax": Game(minimax_d, minimax_g),
    "non-saturating": Game(minimax_d, nonsaturating_g),
    "maximum-likelihood": Game(minimax_d, maximum_likelihood_g),
    "least-squares": Game(least_squares_d, least_squares_g),
    "hinge": Game(hinge_d, hinge_g),
    "wasserstein": Game(wasserstein_d, wasserstein_g),
}
for _name, _row in DIVERGENCES.items():
    _d = partial(f_gan_d, _row)
    GAMES[f"f-gan:{_name}"] = Game(_d, partial(f_gan_g, _row))
    GAMES[f"f-gan:{_name}:non-saturating"] = Game(_d, partial(f_gan_nonsaturating_g, _row))


def game(name):
    """The Game of that name.   ValueError, with the names there are, for another."""
    try:
        return GAMES[name]
    except (KeyError, TypeError):
        raise ValueError(f"game: {name!r} is not known; know {', '.join(GAMES)}") from None
