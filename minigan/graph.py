"""graph(): draw what a tensor was made from.

    >>> x, w = mg.tensor([[1.0, 2.0]]), mg.tensor([[3.0], [4.0]], requires_grad=True)
    >>> print(mg.graph(mg.ops.softplus(-(x @ w)).mean(), names={"w": w}))
    mean            ()      float32
    softplus        (1, 1)  float32
    negative        (1, 1)  float32
    matrix_product  (1, 1)  float32  a: constant (1, 2)  b: w (2, 1)

Each line is made from the line below it. Leaves stand at the right, with the argument that they are. An op of several
made inputs has its smaller branches drawn first, one column in, and goes on in its own column. What is used more than
once is drawn once, at the end, under a number.

Stands on autograd.py's record; nothing stands on it. Read autograd.py next.
"""

from .autograd import _history
from .tensor import Tensor

WIDTH = 32  # of an option's or a constant's value, in characters


def graph(y, *, names=None):
    """The recorded graph behind a tensor: `print` it, or give `.dot()` to Graphviz.

    y       a tensor, such as a loss
    names   {"G.0.weight": tensor, ...}: what to call tensors, such as dict(G.named_parameters())
    Errors: TypeError for what is not a tensor.
    """
    if not isinstance(y, Tensor):
        raise TypeError(f"graph: wants a tensor, got {type(y).__name__}")
    return Graph(y, {x: name for name, x in (names or {}).items()})


class Graph:
    """What `graph` returns.  nodes: the tensors that ops made, newest first; leaves: what they were made from."""

    def __init__(self, y, names):
        self.y, self.names = y, names
        self.nodes = [node for node in reversed(_history(y)) if node.op]
        self.leaves = list({x: None for node in self.nodes for x in node.inputs if not x.op} or {y: None})
        uses = dict.fromkeys(self.nodes, 0)
        for node in self.nodes:
            for x in node.inputs:
                if x.op:
                    uses[x] += 1
        shared = [node for node in self.nodes if uses[node] > 1]
        self.numbers = {node: f"#{i}" for i, node in enumerate(shared, 1)}

    def __repr__(self):
        counts = f"{len(self.nodes)} ops, {len(self.leaves)} leaves, {len(self.numbers)} tensors used more than once"
        return f"<graph of {counts}: print it, or .dot()>"

    def __str__(self):
        sizes = self._branch_sizes()
        blocks = [self._rows(root, sizes) for root in dict.fromkeys([self.y, *self.numbers])]
        rows = [row for block in blocks for row in block]
        first, second, third = (max(len(row[i]) for row in rows) for i in range(3))
        line = lambda row: f"{row[0]:<{first}}  {row[1]:<{second}}  {row[2]:<{third}}  {row[3]}".rstrip()
        return "\n\n".join("\n".join(map(line, block)) for block in blocks)

    def _branch_sizes(self):
        """How many lines each node's branch takes; a shared node is drawn elsewhere and takes none."""
        sizes = {}
        for node in reversed(self.nodes):
            sizes[node] = 1 + sum(sizes[x] for x in node.inputs if x.op and x not in self.numbers)
        return sizes

    def _rows(self, root, sizes):
        """The lines of one block, as (drawing, shape, dtype, notes). A stack, not recursion: graphs are deep."""
        rows, todo = [], [(root, "", "")]
        while todo:
            node, columns, label = todo.pop()
            label = f"{self.numbers[node]} = " if node in self.numbers else label
            name = f" = {self.names[node]}" if node in self.names else ""
            arms = [(argument, x) for argument, x in _arguments(node) if x.op and x not in self.numbers]
            arms.sort(key=lambda arm: sizes[arm[1]])
            text = columns + label + _title(node) + name
            rows.append((text, str(node.shape), str(node.dtype), self._notes(node)))
            inside = columns.replace("├─", "│ ")
            several = len(arms) > 1
            for argument, x in arms[-1:]:
                todo.append((x, inside, f"{argument}: " if several else ""))
            for argument, x in reversed(arms[:-1]):
                todo.append((x, inside + "├─", f"{argument}: "))
        return rows

    def _notes(self, node):
        """The leaves and numbered tensors that an op takes, and its options."""
        notes = []
        several = len(node.inputs) > 1
        for argument, x in _arguments(node):
            if not x.op or x in self.numbers:
                notes.append(f"{argument}: {self._leaf(x)}" if several or x.op else self._leaf(x))
        for name, value in (node.options or {}).items():
            if value is not node.op.defaults.get(name):  # a default says nothing
                notes.append(f"{name}={_short(value)}")
        return "  ".join(notes)

    def _leaf(self, x):
        if x in self.numbers:
            return self.numbers[x]
        if x in self.names:
            return f"{self.names[x]} {x.shape}"
        if x.requires_grad:
            return f"leaf {x.shape}"
        return _short(x.item()) if x.size == 1 else f"constant {x.shape}"

    def dot(self):
        """Graphviz source: `open("loss.dot", "w").write(mg.graph(loss).dot())`, then `dot -Tsvg loss.dot`."""
        number = {x: i for i, x in enumerate([*self.nodes, *self.leaves])}
        lines = ["digraph {", '  node [shape=box, style=rounded, fontname="Helvetica"]']
        for x, i in number.items():
            title = _title(x) if x.op else self.names.get(x, "leaf" if x.requires_grad else "constant")
            name = f" = {self.names[x]}" if x.op and x in self.names else ""
            label = f"{title}{name}\\n{x.shape} {x.dtype}".replace('"', '\\"')
            style = "" if x.op else ", style=filled" if x.requires_grad else ", style=dashed"
            lines.append(f'  n{i} [label="{label}"{style}]')
        for node in self.nodes:
            for argument, x in _arguments(node):
                lines.append(f'  n{number[x]} -> n{number[node]} [label="{argument if len(node.inputs) > 1 else ""}"]')
        return "\n".join([*lines, "}"]) + "\n"


def _title(x):
    return x.op.name if x.op else "leaf" if x.requires_grad else "constant"


def _arguments(node):
    """Pairs (argument name, input)."""
    if node.op and node.op.variadic:
        return [(f"{node.op.variadic}[{i}]", x) for i, x in enumerate(node.inputs)]
    return list(zip(node.op.arguments, node.inputs)) if node.op else []


def _short(value):
    """A value that fits on a line; arrays by shape."""
    if hasattr(value, "shape") and value.shape:
        return f"array {value.shape}"
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
