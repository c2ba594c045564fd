"""Watch: how a GAN's training goes, measured while it goes on.

    watch = Watch(G=G, D=D, every=100)

    watch.step(opt_D, loss, mg.grad(loss, D.parameters()))    # opt_D.step(...), measured
    watch.samples(real, fake, l_real, l_fake)                 # in D's step: a batch of both, and D's logits

    run.log(t, watch.look(t, seen))                           # every 100th step has more figures, and perhaps an alarm
    run.save(t, watch=watch, **parts)                         # a resumed run goes on as if it had never stopped
    dashboard(run.out)                                        # all of it in one picture

Nothing here changes a number of the run: no random numbers are drawn, nothing is computed twice. Between two looks a
step costs one sum, which is how a NaN is met; a look copies the weights, to see how far the update moved them.

Stands on alarms.py (when to speak) and metrics/variety.py. Read dashboard.py next.
"""

import math
import sys

import numpy as np

from ..anomaly import AnomalyError, anomaly
from ..autograd import _history, grad
from ..metrics import coverage, spread, variety
from .alarms import HELPS, Alarms

ENOUGH = 128  # samples of a batch to compare: more cost more than the step of a small network
SPECTRAL = 4  # looks from one measurement of the spectral norms to the next: the dearest figures, and the slowest


class Watch:
    """Measures steps 1, every, 2·every, ... of a run.

    every     steps from look to look; a look costs about as much as one step
    players   the networks by their names: G=G, D=D; the alarms know G and D
    """

    def __init__(self, *, every=100, **players):
        if every < 1 or not players:
            raise ValueError(f"Watch: wants every >= 1 and players such as G=G, D=D; got every={every}, {[*players]}")
        self.every, self.players, self.t, self.alarms = every, [*players], 0, Alarms()
        self.places = {
            x: (player, f"{player}.{name.rpartition('.')[0] or name}")  # weight and bias are one layer
            for player, net in players.items()
            for name, x in net.named_parameters()
        }
        self._forget()

    def _forget(self):
        self._figures, self._more, self._layers, self._new = {}, {}, {}, {}

    @property
    def due(self):
        """Whether the step now being made is one of those that are looked at."""
        return self.t == 0 or (self.t + 1) % self.every == 0

    # ---- in the steps -------------------------------------------------------------------------------------

    def step(self, optimiser, loss, grads):
        """optimiser.step(grads), measured.  loss: what was differentiated; its graph names the op if there is a NaN."""
        if not math.isfinite(loss.item()) or not math.isfinite(float(grads[0].data.sum())):
            self._blame(optimiser.params, loss)
        if not self.due:
            optimiser.step(grads)
            return
        before = [p.data.copy() for p in optimiser.params]
        optimiser.step(grads)
        self._measure(optimiser.params, grads, before)

    def samples(self, real, fake, l_real=None, l_fake=None):
        """Compare a batch of G's samples with a real one, and D's logits on both.  Tensors (n, ...); (n,) or (n, 1)."""
        if not self.due:
            return
        real, fake = real.numpy()[:ENOUGH], fake.numpy()[:ENOUGH]
        if np.isfinite(fake).all() and min(len(real), len(fake)) > 1 and spread(real) > 0:
            of_G, of_data = variety(fake, real)
            self._figures["variety"] = _short(of_G / of_data)
            self._more |= {"variety of G": _short(of_G), "variety of data": _short(of_data)}
            self._more["spread"] = _short(spread(fake) / spread(real))
            covered = coverage(fake, real)
            self._figures |= {} if covered is None else {"coverage": _short(covered)}
        if l_real is not None:
            l_real, l_fake = l_real.numpy(), l_fake.numpy()
            self._figures["accuracy"] = _short(((l_real > 0).mean() + (l_fake < 0).mean()) / 2)
            self._figures["gap"] = _short(l_real.mean() - l_fake.mean())

    # ---- in the loop --------------------------------------------------------------------------------------

    def look(self, t, seen):
        """What step t has seen, and on every `every`th step what was measured; raises alarms.

        → seen and the figures, which Run.log shows beside the progress bar; and, for the file alone, "more" {name:
        float}, "layers" {kind: {layer: float}}, "alarms" {name: what was seen} and "over" [names]. An alarm is also a
        line on stderr.
        """
        row, over = {**seen, **self._figures}, []
        if self._figures:
            new, over = self.alarms.judge(t, {name: float(value) for name, value in (row | self._more).items()})
            self._new |= new
        for name, what in self._new.items():
            _say(f"step {t}: {name.upper()}: {what}.\n    What usually helps: {HELPS[name]}.")
        rest = {"more": self._more, "layers": self._layers, "alarms": self._new, "over": over}
        self._forget()
        self.t = t
        return row | {name: value for name, value in rest.items() if value}

    def state_dict(self):
        """The step, and the alarms' memory."""
        return {"t": self.t, "alarms": self.alarms.state_dict()}

    def load_state_dict(self, state):
        """Go on where `state` was taken."""
        self.t = state["t"]
        self.alarms.load_state_dict(state["alarms"])

    # ---- measuring ----------------------------------------------------------------------------------------

    def _measure(self, params, grads, before):
        """Norms of gradients, updates and weights, by layer and by player; spectral norms of the weights."""
        layers, players, spectral = {}, {}, {}
        for p, g, old in zip(params, grads, before):
            if p not in self.places:
                raise ValueError(f"Watch.step: a parameter of shape {p.shape} belongs to none of {self.players}")
            player, layer = self.places[p]
            squares = np.array([_square(g.data), _square(p.data - old), _square(old)])
            layers[layer] = layers.get(layer, 0) + squares
            players[player] = players.get(player, 0) + squares
            if p.ndim > 1 and len(self.alarms.looks) % SPECTRAL == 0:
                spectral[layer] = _short(largest_singular_value(p.numpy()))
        if spectral:
            self._layers.setdefault("spectral norm", {}).update(spectral)
        for layer, (g, update, weights) in layers.items():
            self._layers.setdefault("gradient", {})[layer] = _short(g**0.5)
            if weights:
                self._layers.setdefault("update / weight", {})[layer] = _short((update / weights) ** 0.5)
        for player, (g, _, weights) in players.items():
            self._figures[f"|∇{player}|"], self._more[f"weights {player}"] = _short(g**0.5), _short(weights**0.5)

    def _blame(self, params, loss):
        """The alarm of a NaN or an infinity, with what made it."""
        what = first_fault(params, loss)
        if what:
            self._new |= self.alarms.ring(self.t + 1, "NaN", what)


def first_fault(params, loss):
    """What made the first value that is not finite, in a sentence; None where all are finite.

    It is found in the graph of the loss, which still holds every value: nothing is run again but, where the values are
    all finite, the gradient.
    """
    bad = [i for i, p in enumerate(params) if not np.isfinite(p.numpy()).all()]
    if bad:
        return f"{len(bad)} of {len(params)} parameters are not finite before the step: an earlier update made them so"
    for node in _history(loss):
        if not np.isfinite(node.numpy()).all():
            shapes = ", ".join(str(x.shape) for x in node.inputs)
            return f"{node.op.name} made the first value that is not finite, from inputs of shapes {shapes}"
    try:
        with anomaly():
            grad(loss, params)
    except AnomalyError as error:
        return error.what
    return None


def largest_singular_value(weight):
    """The largest singular value of a weight (..., last), as a matrix with a row for each input of the last axis.

    For a convolution (kh, kw, in, out) that is what Miyato et al. 2018 bound, section 2.1; a transposed convolution's
    weight is that of the convolution whose transpose it is.
    """
    matrix = weight.reshape(-1, weight.shape[-1])
    square = matrix @ matrix.T if len(matrix) < matrix.shape[1] else matrix.T @ matrix
    return float(np.sqrt(max(np.linalg.eigvalsh(square)[-1], 0.0))) if np.isfinite(square).all() else math.nan


def _square(array):
    return float((array * array).sum())


def _short(value):
    """Five digits: enough to look at, and the same on every machine."""
    return float(f"{float(value):.5g}")


def _say(text):
    """A line on stderr, above the progress bar."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)
