"""What is wrong with a run, judged from a series of looks at it: mode collapse, a D too strong, divergence.

A look is a dict of figures of one step, as Watch takes it; a rule is a function of the last look and of those before it
that says what it sees, with figures, or None. A rule that holds for four looks in a row raises its alarm, once; when it
has not held for four, the alarm is over, and may be raised again. The thresholds are set wide: every healthy run of the
examples stays silent.

Stands on nothing. Read watch.py next: it takes the looks.
"""

from statistics import median

IN_A_ROW = 4  # looks: one bad batch raises nothing, and one good batch ends nothing
TO_GROW = 12  # looks: G starts by drawing one point or one grey, and is given so long to vary

HELPS = {
    "mode collapse": "Adam with β₁ = 0 or 0.5, a lower learning rate for G, more D steps per G step, a larger batch, "
    "packing, a gradient penalty on D",
    "D too strong": "the non-saturating loss for G, a lower learning rate for D, noise on D's inputs, a gradient "
    "penalty on D, a Wasserstein critic",
    "divergence": "lower learning rates, a gradient penalty or spectral norm in D; and look for a sign that is wrong",
    "NaN": "a lower learning rate; losses on logits (softplus), never log(sigmoid(l)); `with mg.anomaly():` around a "
    "step names the line too",
}


def collapse(look, before):
    """G's samples are a third as varied as the data's or reach a third of it, and once did better or had their time."""
    if "variety" not in look or _share(look) > 1 / 3:
        return None
    best = max((_share(other) for other in before), default=0.0)
    if best < 1 / 2 and len(before) < TO_GROW:
        return None
    reached = f", and reaches {look['coverage']:.0%} of the data" if "coverage" in look else ""
    return (
        f"G's batch is worth {look['variety of G']:.1f} different samples, the data's {look['variety of data']:.1f}"
        f"{reached}; its spread is {look['spread']:.2g} of the data's"
    )


def _share(look):
    return min(look.get("variety", 1.0), look.get("coverage", 1.0))


def too_strong(look, before):
    """D errs on one sample in a hundred or none, and G's gradient is a hundredth of what it has been, or less."""
    past = [_relative(other) for other in before if "|∇G|" in other]
    if look.get("accuracy", 0.0) < 0.99 or "|∇G|" not in look or not past:
        return None
    now, highest = _relative(look), max(past)
    if now > highest / 100:
        return None
    return (
        f"D is right about {look['accuracy']:.1%} of its batch, and G's gradient, in units of G's weights, has fallen "
        f"from {highest:.2g} to {now:.2g}"
    )


def _relative(look):
    return look["|∇G|"] / look["weights G"]


def divergence(look, before):
    """A loss is 100 times its usual size, a gradient 1,000 times, or a network's weights 30 times the first."""
    well = [other for other in before if "divergence" not in other["ill"]]  # or illness would become the usual
    if len(well) < 2 * IN_A_ROW:
        return None
    for name, value in look.items():
        past = [abs(other[name]) for other in well if name in other]
        if not past:
            continue
        usual, times = median(past), None
        if name.startswith("loss"):
            usual, times = max(usual, 1.0), 100
        elif name.startswith("|∇"):
            times = 1000
        elif name.startswith("weights"):
            usual, times = past[0], 30
        if times and usual and abs(value) > times * usual:
            return f"{name} is {value:.3g}, {abs(value) / usual:.0f} times {usual:.3g}"
    return None


RULES = {"mode collapse": collapse, "D too strong": too_strong, "divergence": divergence}


class Alarms:
    """The rules' memory: the looks so far, each with the rules that held at it under "ill", and the alarms that are on.

    raised   [[step, name, what was seen]] of all that were ever raised
    """

    def __init__(self):
        self.looks, self.raised, self.streaks = [], [], {}
        self.on = []

    def judge(self, step, look):
        """Take in a look, {figure: float}; return ({alarm raised now: what was seen}, [alarms over now])."""
        new, over, ill = {}, [], []
        for name, rule in RULES.items():
            seen, streak = rule(look, self.looks), self.streaks.get(name, 0)
            ill += [name] if seen else []
            self.streaks[name] = streak = max(streak, 0) + 1 if seen else min(streak, 0) - 1
            if streak == IN_A_ROW and name not in self.on:
                new |= self.ring(step, name, seen)
            if streak == -IN_A_ROW and name in self.on:
                self.on.remove(name)
                over.append(name)
        self.looks.append(look | {"ill": ill})
        return new, over

    def ring(self, step, name, seen):
        """Raise an alarm by hand → {name: seen}, or {} if it is on already."""
        if name in self.on:
            return {}
        self.on.append(name)
        self.raised.append([step, name, seen])
        return {name: seen}

    def state_dict(self):
        """All that later alarms depend on."""
        return {"looks": self.looks, "raised": self.raised, "streaks": self.streaks, "on": self.on}

    def load_state_dict(self, state):
        """Go on where `state` was taken."""
        self.looks, self.raised = list(state["looks"]), [list(entry) for entry in state["raised"]]
        self.streaks, self.on = dict(state["streaks"]), list(state["on"])
