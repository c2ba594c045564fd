"""The register tile: the one inner loop that convolutions and matrix products run in.

Two forms, each a block of ROWS x COLUMNS sums kept in vector registers, COLUMNS = VECTORS registers wide; and a third
for products of few columns, which would leave most lanes of such a register idle:

    gather_tile   y[i, j] = Σ_r Σ_q a[row_i + r·pitch + q] · b[r·length + q, j]
                  rows of a are windows of an image: `runs` stretches of `length` numbers, `pitch` apart
    outer_tile    y[i, j] (+)= Σ_p a[pixel_p + tap_i] · b[p, j]
                  a sum over pixels of outer products: taps of the window times incoming gradients
    dot_tile      gather_tile's sums, with neighbours q in the lanes: each lane sums its share, and the lanes are added
                  up at the end

In each step one register-wide row of b is loaded, each a[...] is spread over a register, and ROWS x VECTORS fused
multiply-adds follow: LLVM vector code written by hand through Numba's @intrinsic, because a compiler given plain loops
does not keep the sums in registers. Addresses are bytes, offsets are counted in numbers.

Stands on simd.py. Read gemm.py next, where the tiles become whole matrices.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .simd import UNIT, VECTORS, lanes

I64 = ir.IntType(64)
ROWS, OUTER_ROWS = UNIT.rows, UNIT.outer_rows


class _Emit:
    """A few words for LLVM's builder: addresses in, numbers and vectors out."""

    def __init__(self, context, builder, scalar_type, vectors=VECTORS):
        self.builder, self.vectors = builder, vectors
        self.scalar = context.get_value_type(scalar_type)
        self.itemsize = scalar_type.bitwidth // 8
        self.width = lanes(self.itemsize)
        self.vector = ir.VectorType(self.scalar, self.width)
        self.zero = ir.Constant(self.vector, None)

    def at(self, address, offset):
        """address + offset numbers."""
        return self.builder.add(address, self.builder.mul(offset, I64(self.itemsize)))

    def load(self, address, kind, align=None):
        value = self.builder.load(self.builder.inttoptr(address, ir.PointerType(kind)))
        value.align = align or self.itemsize
        return value

    def store(self, value, address):
        self.builder.store(value, self.builder.inttoptr(address, ir.PointerType(value.type))).align = self.itemsize

    def integer(self, table, index):
        """table[index] for the address of an array of 64-bit integers."""
        return self.load(self.builder.add(table, self.builder.shl(index, I64(3))), I64, align=8)

    def row(self, address):
        """A row of the tile, its vectors one after another, from an address on."""
        step = self.itemsize * self.width
        return [self.load(self.builder.add(address, I64(step * j)), self.vector) for j in range(self.vectors)]

    def spread(self, number):
        """The number in every lane."""
        nothing = ir.Constant(self.vector, ir.Undefined)
        one = self.builder.insert_element(nothing, number, ir.IntType(32)(0))
        return self.builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(ir.IntType(32), self.width), None))

    def multiply_add(self, a, b, c):
        if not UNIT.fused:
            return self.builder.fadd(self.builder.fmul(a, b), c)
        kind = "f32" if self.itemsize == 4 else "f64"
        return self.builder.call(self._function(f"llvm.fma.v{self.width}{kind}"), [a, b, c])

    def _function(self, name):
        module = self.builder.module
        return module.globals.get(name) or ir.Function(module, ir.FunctionType(self.vector, [self.vector] * 3), name)

    def loop(self, count, carried, body):
        """for index in range(count): carried = body(index, carried); count ≥ 1. Returns what is carried out."""
        builder, before = self.builder, self.builder.block
        inside, after = (builder.function.append_basic_block(name) for name in ("loop", "done"))
        builder.branch(inside)
        builder.position_at_end(inside)
        index = builder.phi(I64)
        index.add_incoming(I64(0), before)
        now = []
        for value in carried:
            now.append(builder.phi(value.type))
            now[-1].add_incoming(value, before)
        then = body(index, now)
        following = builder.add(index, I64(1))
        end = builder.block  # the body may have opened blocks of its own
        index.add_incoming(following, end)
        for phi, value in zip(now, then):
            phi.add_incoming(value, end)
        builder.cbranch(builder.icmp_signed("<", following, count), inside, after)
        builder.position_at_end(after)
        return then

    def products(self, numbers, row, sums):
        """sums + numbers (spread) times the row, for the whole tile."""
        out = []
        for i, number in enumerate(numbers):
            a = self.spread(number())
            out += [self.multiply_add(a, row[j], sums[i * self.vectors + j]) for j in range(self.vectors)]
        return out

    def totals(self, sums):
        """The sums over all lanes of `width` vectors, each a number.

        Halving: two vectors become one that holds half-sums of both, side by side, until a lane is left for each.
        """
        groups, size = [[k] for k in range(self.width)], self.width
        while len(sums) > 1:
            size //= 2
            low = [g * 2 * size + k for g in range(len(groups[0])) for k in range(size)]
            low = [k + n for g in range(0, len(low), size) for n in (0, self.width) for k in low[g : g + size]]
            half, masks = len(sums) // 2, (low, [k + size for k in low])
            halves = [[_shuffled(self.builder, u, v, m) for m in masks] for u, v in zip(sums, sums[half:])]
            sums = [self.builder.fadd(u, v) for u, v in halves]
            groups = [[k for pair in zip(u, v) for k in pair] for u, v in zip(groups, groups[half:])]
        places = {k: lane for lane, k in enumerate(groups[0])}
        return [self.builder.extract_element(sums[0], ir.IntType(32)(places[k])) for k in range(self.width)]

    def write(self, sums, addresses):
        """The tile's rows, each to its address."""
        step = self.itemsize * self.width
        for i, address in enumerate(addresses):
            for j in range(self.vectors):
                self.store(sums[i * self.vectors + j], self.builder.add(address, I64(step * j)))


def _gather_tile(vectors):
    """The gather tile with that many vector registers to a row."""

    @intrinsic
    def tile(typing, zero, a, rows, runs, pitch, length, b, y, places):
        """ROWS windows of a times the panel b, to y.

        zero           a number of the dtype
        a, b, y        addresses of numbers;  rows, places: addresses of ROWS integers
        rows[i]        where window i begins in a;  places[i]: where row i goes in y
        """

        def generate(context, builder, signature, arguments):
            emit = _Emit(context, builder, signature.args[0], vectors)
            _, a, rows, runs, pitch, length, b, y, places = arguments
            starts = [emit.at(a, emit.integer(rows, I64(i))) for i in range(ROWS)]
            row_bytes = I64(emit.itemsize * emit.width * vectors)
            pitch_bytes = builder.mul(pitch, I64(emit.itemsize))

            def run(r, carried):
                shift = builder.mul(r, pitch_bytes)
                windows = [builder.add(start, shift) for start in starts]

                def step(q, carried):
                    b, *sums = carried
                    offset = builder.mul(q, I64(emit.itemsize))
                    numbers = [lambda w=w: emit.load(builder.add(w, offset), emit.scalar) for w in windows]
                    return [builder.add(b, row_bytes), *emit.products(numbers, emit.row(b), sums)]

                return emit.loop(length, carried, step)

            _, *sums = emit.loop(runs, [b] + [emit.zero] * (ROWS * vectors), run)
            emit.write(sums, [emit.at(y, emit.integer(places, I64(i))) for i in range(ROWS)])
            return context.get_dummy_value()

        return types.void(zero, *[types.intp] * 8), generate

    return tile


gather_tile = _gather_tile(VECTORS)
gather_narrow_tile = _gather_tile(1)  # for few columns: half of a full tile would be multiplied by zeros


@intrinsic
def outer_tile(typing, zero, a, pixels, count, taps, b, y, places, more):
    """The sum over `count` pixels of OUTER_ROWS taps of a times a row of b, to y, or added to it when `more` is not 0.

    zero         a number of the dtype
    a, b, y      addresses of numbers;  pixels, taps, places: addresses of integers
    pixels[p]    where pixel p lies in a;  taps[i]: from a pixel to its tap i
    places[i]    where row i goes in y
    """

    def generate(context, builder, signature, arguments):
        emit = _Emit(context, builder, signature.args[0])
        _, a, pixels, count, taps, b, y, places, more = arguments
        bases = [emit.at(a, emit.integer(taps, I64(i))) for i in range(OUTER_ROWS)]
        row_bytes = I64(emit.itemsize * emit.width * VECTORS)

        def pixel(p, carried):
            b, *sums = carried
            offset = builder.mul(emit.integer(pixels, p), I64(emit.itemsize))
            numbers = [lambda t=t: emit.load(builder.add(t, offset), emit.scalar) for t in bases]
            return [builder.add(b, row_bytes), *emit.products(numbers, emit.row(b), sums)]

        _, *sums = emit.loop(count, [b] + [emit.zero] * (OUTER_ROWS * VECTORS), pixel)
        targets = [emit.at(y, emit.integer(places, I64(i))) for i in range(OUTER_ROWS)]
        with builder.if_else(builder.icmp_signed("!=", more, I64(0))) as (added, stored):
            with added:
                before = [value for target in targets for value in emit.row(target)]
                emit.write([builder.fadd(u, v) for u, v in zip(before, sums)], targets)
            with stored:
                emit.write(sums, targets)
        return context.get_dummy_value()

    return types.void(zero, *[types.intp] * 8), generate


DOT_OUTPUTS = 4  # the most columns that a dot tile has


def dot_rows(itemsize, outputs):
    """Windows of a dot tile: as many sums as a register has lanes, and 8 at least, to hide a multiply-add's latency."""
    return max(1, max(lanes(itemsize), 8) // outputs)


def _dot_tile(outputs):
    """The dot tile with so many columns."""

    @intrinsic
    def tile(typing, zero, a, rows, runs, pitch, steps, b, y, places):
        """y[places[i] + j] = Σ_r Σ_q a[rows[i] + r·pitch + q] · b[r, q, j] for dot_rows windows i, j < outputs.

        zero           a number of the dtype
        a, b, y        addresses of numbers;  rows, places: addresses of integers
        steps          registers' worth of q in each run
        b              for each run and step a register for every j
        """

        def generate(context, builder, signature, arguments):
            emit = _Emit(context, builder, signature.args[0], vectors=outputs)
            _, a, rows, runs, pitch, steps, b, y, places = arguments
            count, one = dot_rows(emit.itemsize, outputs), I64(emit.itemsize * emit.width)
            starts = [emit.at(a, emit.integer(rows, I64(i))) for i in range(count)]
            pitch_bytes, row_bytes = builder.mul(pitch, I64(emit.itemsize)), I64(emit.itemsize * emit.width * outputs)

            def run(r, carried):
                shift = builder.mul(r, pitch_bytes)
                windows = [builder.add(start, shift) for start in starts]

                def step(q, carried):
                    b, *sums = carried
                    offset, columns, out = builder.mul(q, one), emit.row(b), []
                    for i, window in enumerate(windows):
                        some = emit.load(builder.add(window, offset), emit.vector)
                        out += [emit.multiply_add(some, columns[j], sums[i * outputs + j]) for j in range(outputs)]
                    return [builder.add(b, row_bytes), *out]

                return emit.loop(steps, carried, step)

            _, *sums = emit.loop(runs, [b] + [emit.zero] * (count * outputs), run)
            sums += [emit.zero] * (-len(sums) % emit.width)
            totals = [n for k in range(0, len(sums), emit.width) for n in emit.totals(sums[k : k + emit.width])]
            for i in range(count):
                target = emit.at(y, emit.integer(places, I64(i)))
                for j in range(outputs):
                    emit.store(totals[i * outputs + j], builder.add(target, I64(emit.itemsize * j)))
            return context.get_dummy_value()

        return types.void(zero, *[types.intp] * 8), generate

    return tile


dot_tile_1, dot_tile_2, dot_tile_3, dot_tile_4 = (_dot_tile(outputs) for outputs in range(1, DOT_OUTPUTS + 1))


@intrinsic
def transpose_tile(typing, zero, a, pitch, y, row):
    """A square of one register's lanes from a (rows `pitch` apart), transposed, to y (rows `row` apart)."""

    def generate(context, builder, signature, arguments):
        emit = _Emit(context, builder, signature.args[0])
        _, a, pitch, y, row = arguments
        n = emit.width
        rows = [emit.load(emit.at(a, builder.mul(pitch, I64(i))), emit.vector) for i in range(n)]
        half = n // 2
        while half:  # swap the off-diagonal quarters of ever smaller squares
            for i in range(n):
                if not i & half:
                    u, v = rows[i], rows[i + half]
                    low = [k if not k & half else n + k - half for k in range(n)]
                    high = [k + half if not k & half else n + k for k in range(n)]
                    rows[i], rows[i + half] = _shuffled(builder, u, v, low), _shuffled(builder, u, v, high)
            half //= 2
        for i in range(n):
            emit.store(rows[i], emit.at(y, builder.mul(row, I64(i))))
        return context.get_dummy_value()

    return types.void(zero, *[types.intp] * 4), generate


def _shuffled(builder, u, v, lanes_):
    kind = ir.VectorType(ir.IntType(32), len(lanes_))
    return builder.shuffle_vector(u, v, ir.Constant(kind, [ir.IntType(32)(k) for k in lanes_]))


@intrinsic
def copy_vector(typing, zero, a, y):
    """One register's numbers from a to y."""

    def generate(context, builder, signature, arguments):
        emit = _Emit(context, builder, signature.args[0])
        emit.store(emit.load(arguments[1], emit.vector), arguments[2])
        return context.get_dummy_value()

    return types.void(zero, types.intp, types.intp), generate


def _number(emit, base, index):
    """The pointer to number `index` of an array at the address `base`: a form in which LLVM sees the loops' strides."""
    array = emit.builder.inttoptr(base, ir.PointerType(emit.scalar))
    return emit.builder.gep(array, [index], source_etype=emit.scalar)


def _inputs(module):
    """LLVM's name for 'memory that a kernel only reads': no poke changes what `read` sees, so loops may be vectors."""
    domain = module.add_metadata(["minigan"])
    return module.add_metadata([module.add_metadata(["inputs", domain])])


def _load(context, builder, signature, arguments, only_read):
    emit = _Emit(context, builder, signature.args[0])
    value = builder.load(_number(emit, *arguments[1:]))
    value.align = emit.itemsize
    if only_read:
        value.set_metadata("alias.scope", _inputs(builder.module))
    return value


@intrinsic
def read(typing, zero, base, index):
    """base[index], in memory that this kernel does not write to."""
    return zero(zero, types.intp, types.intp), lambda *given: _load(*given, only_read=True)


@intrinsic
def peek(typing, zero, base, index):
    """base[index], in memory that this kernel writes to, too."""
    return zero(zero, types.intp, types.intp), lambda *given: _load(*given, only_read=False)


@intrinsic
def poke(typing, base, index, value):
    """base[index] = value."""

    def generate(context, builder, signature, arguments):
        emit = _Emit(context, builder, signature.args[2])
        stored = builder.store(arguments[2], _number(emit, *arguments[:2]))
        stored.align = emit.itemsize
        stored.set_metadata("noalias", _inputs(builder.module))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, value), generate


@intrinsic
def cast(typing, zero, value):
    """value in zero's dtype."""

    def generate(context, builder, signature, arguments):
        return context.cast(builder, arguments[1], signature.args[1], signature.return_type)

    return zero(zero, value), generate


@intrinsic
def entry(typing, table, index):
    """table[index] for the address of an array of 64-bit integers."""

    def generate(context, builder, signature, arguments):
        return _Emit(context, builder, types.int64).integer(*arguments)

    return types.intp(types.intp, types.intp), generate


@intrinsic
def enter(typing, table, index, value):
    """table[index] = value."""

    def generate(context, builder, signature, arguments):
        table, index, value = arguments
        _Emit(context, builder, types.int64).store(value, builder.add(table, builder.shl(index, I64(3))))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


@intrinsic(prefer_literal=True)
def unpack(typing, table, count):
    """The first `count` (a literal) integers of a table, as a tuple."""
    kind = types.UniTuple(types.intp, count.literal_value)

    def generate(context, builder, signature, arguments):
        emit = _Emit(context, builder, types.int64)
        values = [emit.integer(arguments[0], I64(i)) for i in range(kind.count)]
        return context.make_tuple(builder, kind, values)

    return kind(types.intp, count), generate


@intrinsic
def scalar(typing, zero, table, index):
    """table[index] of the address of an array of 64-bit floats, in zero's dtype."""

    def generate(context, builder, signature, arguments):
        wide = _Emit(context, builder, types.float64)
        value = wide.load(builder.add(arguments[1], builder.shl(arguments[2], I64(3))), wide.scalar)
        return context.cast(builder, value, types.float64, zero)

    return zero(zero, types.intp, types.intp), generate
