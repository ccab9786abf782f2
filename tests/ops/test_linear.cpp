// linear and linear_backward. Inputs are uniform on [-1, 1]: summed in turn, the partial sums of n products grow like
// sqrt(k)/3, and each rounding has a standard deviation of 0.42 * 2^-24 of one. Five standard errors of the sum are
// then 5 * 0.42 * 2^-24 * n/sqrt(18) = 3e-8 n, below 1e-6 sqrt(n) for the n <= 700 used here. In any other order
// partial sums are smaller.
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr Activation kActivations[] = {Activation::identity, Activation::relu,      Activation::tanh,
                                       Activation::softplus, Activation::silu,      Activation::gelu,
                                       Activation::elu,      Activation::leaky_relu};

struct Shape {
  Index batch, inputs, outputs;
};
constexpr Shape kShapes[] = {{1, 1, 1},     {2, 3, 1},      {1, 2, 7},     {3, 7, 2},       {7, 31, 33},
                             {32, 65, 128}, {33, 128, 129}, {65, 32, 31},  {129, 257, 3},   {31, 33, 257},
                             {700, 3, 33},  {16, 16, 16},   {48, 20, 260}, {129, 257, 131}, {131, 257, 130}};
// On CUDA one kernel takes a small layer's backward pass, products and their epilogues a large one's.
constexpr Shape kSmallAndLarge[] = {{33, 65, 31}, {129, 257, 131}, {131, 257, 130}};

/// One layer's arrays, all of them random, on the host and in the backend's memory.
struct Layer {
  Layer(Backend& backend, Shape s, std::uint64_t seed = 1)
      : shape(s),
        type(backend.activation_type()),
        x(backend, s.batch, s.inputs, random_vector(s.batch * s.inputs, seed), type),
        w(backend, s.outputs, s.inputs, random_vector(s.outputs * s.inputs, seed + 1), type),
        b(backend, 1, s.outputs, random_vector(s.outputs, seed + 2), type),
        dy(backend, s.batch, s.outputs, random_vector(s.batch * s.outputs, seed + 3), type),
        below_pre(backend, s.batch, s.inputs, away_from_zero(s.batch * s.inputs, seed + 4), type) {}

  /// In +-[0.1, 2.1]: no finite difference crosses the kink of a relu.
  static std::vector<float> away_from_zero(Index size, std::uint64_t seed) {
    std::vector<float> v = random_vector(size, seed, -2, 2);
    for (float& f : v) f += f < 0 ? -0.1f : 0.1f;
    return v;
  }

  /// The activation below applied to below_pre: what a real layer's x would be.
  void set_x_to(Activation below) const {
    std::vector<float> values;
    for (float pre : below_pre.get()) values.push_back(static_cast<float>(reference::activate(below, pre)));
    x.set(values);
  }

  Shape shape;
  DType type;
  Matrix x, w, b, dy, below_pre;
};

std::string trace(Shape s, Activation act) {
  return "B " + std::to_string(s.batch) + ", I " + std::to_string(s.inputs) + ", O " + std::to_string(s.outputs) +
         ", " + std::string(to_string(act));
}

Vector activate(Activation act, Vector values) {
  for (double& v : values) v = reference::activate(act, v);
  return values;
}

class LinearOp : public OpTest {
 protected:
  /// y and dx may be float32 beside bf16.
  std::vector<DType> result_types() const {
    return type_ == DType::f32 ? std::vector{type_} : std::vector{type_, DType::f32};
  }
};
CUVAE_IN_EVERY_PRECISION(LinearOp);

// As bf16, x w^T may be rounded before b, below one, is added; no activation's slope exceeds 1.13.
TEST_P(LinearOp, MatchesTheReference) {
  for (const Shape s : kShapes)
    for (const Activation act : kActivations)
      for (const DType y_type : result_types()) {
        SCOPED_TRACE(trace(s, act) + (y_type == DType::bf16 ? ", bf16" : ", f32"));
        const Layer a(backend_, s);
        const Matrix b(backend_, 1, s.outputs, a.b.get(), y_type), pre(backend_, s.batch, s.outputs, y_type),
            y(backend_, s.batch, s.outputs, y_type);
        backend_.run(Linear{a.x, a.w, b, act, pre, y});
        const Vector want = reference::affine(reference::widen(a.x.get()), reference::widen(a.w.get()),
                                              reference::widen(a.b.get()), s.inputs, s.outputs);
        const double rounding = y_type == DType::bf16 ? rounding_ : 0;
        const Vector want_y = activate(act, want);
        Vector bound, y_bound;
        for (std::size_t i = 0; i < want.size(); ++i) {
          const double sum = 1e-6 * std::sqrt(s.inputs), product = rounding * (std::fabs(want[i]) + 1 + sum);
          bound.push_back(sum + product + (1e-6 + rounding) * std::fabs(want[i]));
          y_bound.push_back(sum + 1.13 * product + (1e-6 + rounding) * std::fabs(want_y[i]));
        }
        expect_within(pre.get(), want, bound, "pre");
        expect_within(y.get(), want_y, y_bound, "y");
      }
}

TEST_P(LinearOp, PreActivationIsOptionalWhereTheResultSuffices) {
  for (const Activation act : kActivations) {
    if (needs_pre_activation(act)) continue;
    const Shape s{7, 31, 33};
    SCOPED_TRACE(trace(s, act));
    const Layer a(backend_, s);
    const Matrix pre(backend_, s.batch, s.outputs, type_), with(backend_, s.batch, s.outputs, type_),
        without(backend_, s.batch, s.outputs, type_);
    backend_.run(Linear{a.x, a.w, a.b, act, pre, with});
    backend_.run(Linear{a.x, a.w, a.b, act, View{}, without});
    expect_same_bits(with.get(), without.get(), "y");
  }
}

// The formulas are good to a few ulp at every size, except gelu's 1 + erf(x), which cancels where x is negative: 2.5
// ulp of one, times |x|/2. Below 1e-37 |x| an exponential may underflow.
TEST_P(LinearOp, ActivationsAreExactAtExtremes) {
  std::vector<float> values{0.0f};
  for (float v :
       {1e-6f, 1e-3f, 0.3f, 0.62f, 0.63f, 0.94f, 1.0f, 2.0f, 5.0f, 9.0f, 12.0f, 16.0f, 20.0f, 88.0f, 100.0f, 1e4f})
    values.insert(values.end(), {v, -v});
  values = stored(values);
  const auto n = static_cast<Index>(values.size());
  const Matrix x(backend_, n, 1, values, type_), one(backend_, 1, 1, {1}, type_), zero(backend_, 1, 1, {0}, type_);
  for (const Activation act : kActivations) {
    SCOPED_TRACE(to_string(act));
    const Matrix pre(backend_, n, 1, type_), y(backend_, n, 1, type_);
    const Matrix ones(backend_, n, 1, std::vector<float>(n, 1.0f), type_);
    const Matrix dw(backend_, 1, 1), db(backend_, 1, 1), dx(backend_, n, 1, type_);
    backend_.run(Linear{x, one, zero, act, pre, y});
    backend_.run(
        LinearBackward{y, one, ones, act, needs_pre_activation(act) ? ConstView(pre) : ConstView{}, dw, db, dx});

    Vector bound, slope;
    for (float v : values) {
      const double cancelled = act == Activation::gelu ? std::ldexp(1.0, -22) : 1e-37;
      bound.push_back(1e-6 * std::fabs(reference::activate(act, v)) + cancelled * std::fabs(v));
      slope.push_back(reference::activation_slope(act, v));
    }
    expect_same_bits(pre.get(), values, "pre");
    expect_stored_within(y.get(), activate(act, reference::widen(values)), bound, "y");
    // Slopes are sums of terms of order one, so they are absolute; 4 ulp of one. Of a rounded y, the slope of tanh, 1 -
    // y^2, is off by two roundings, and no other by more.
    expect_stored_close(dx.get(), slope, 5e-7 + 2 * rounding_, 0, "slope");
  }
}

// As bf16, dy w is rounded before it is multiplied by a slope, which is off by two roundings: see above.
TEST_P(LinearOp, BackwardMatchesTheReference) {
  for (const Shape s : kShapes)
    for (const Activation below : kActivations)
      for (const DType dx_type : below == Activation::identity ? result_types() : std::vector{type_}) {
        SCOPED_TRACE(trace(s, below) + (dx_type == DType::bf16 ? ", bf16" : ", f32"));
        const Layer a(backend_, s);
        a.set_x_to(below);
        const Matrix dw(backend_, s.outputs, s.inputs), db(backend_, 1, s.outputs),
            dx(backend_, s.batch, s.inputs, dx_type);
        backend_.run(LinearBackward{a.x, a.w, a.dy, below,
                                    needs_pre_activation(below) ? ConstView(a.below_pre) : ConstView{}, dw, db, dx});
        Vector slope;
        for (float pre : a.below_pre.get()) slope.push_back(reference::activation_slope(below, pre));
        const auto backward = [&](const Vector& by) {
          return reference::linear_backward(reference::widen(a.x.get()), reference::widen(a.w.get()),
                                            reference::widen(a.dy.get()), by, s.inputs, s.outputs);
        };
        const auto want = backward(slope);
        const Vector product = backward(Vector(slope.size(), 1)).dx;
        const double batch_atol = 1e-6 * std::sqrt(s.batch), output_atol = 1e-6 * std::sqrt(s.outputs);
        expect_close(dw.get(), want.dw, 2 * batch_atol, 1e-6, "dw");  // |x| reaches 2
        expect_close(db.get(), want.db, batch_atol, 1e-6, "db");
        const double rounding = dx_type == DType::bf16 ? rounding_ : 0;
        const bool slopes = below != Activation::identity;
        Vector bound;
        for (std::size_t i = 0; i < product.size(); ++i)
          bound.push_back(output_atol + (1e-6 + (slopes ? 2 : 1) * rounding) * std::fabs(want.dx[i]) +
                          (slopes ? 2.01 * rounding * std::fabs(product[i]) : 0));
        expect_within(dx.get(), want.dx, bound, "dx");
      }
}

// A layer with too many rows for one kernel, in memory that only its elements' size aligns. One output makes of each
// element of dx one product, which has the same bits however it is computed.
TEST_P(LinearOp, UnalignedDxIsTheSame) {
  const Shape s{1030, 5, 1};
  const Layer a(backend_, s);
  const Matrix dw(backend_, 1, s.inputs), db(backend_, 1, 1);
  const auto placed = [&](Index offset, const std::vector<float>& values) {
    std::vector<float> all(static_cast<std::size_t>(offset), 0.0f);
    all.insert(all.end(), values.begin(), values.end());
    return Matrix(backend_, 1, static_cast<Index>(all.size()), all, type_);
  };
  const auto at = [&](const Matrix& m, Index offset) {
    return View{reinterpret_cast<char*>(m.data()) + static_cast<std::size_t>(offset) * size_of(type_), s.batch,
                s.inputs, type_};
  };
  for (const Activation below : kActivations) {
    SCOPED_TRACE(to_string(below));
    a.set_x_to(below);
    std::vector<float> results[2];
    for (const Index offset : {0, 1}) {
      const Matrix x = placed(offset, a.x.get()), pre = placed(offset, a.below_pre.get()),
                   dx(backend_, 1, s.batch * s.inputs + offset, type_);
      backend_.run(LinearBackward{at(x, offset), a.w, a.dy, below,
                                  needs_pre_activation(below) ? ConstView(at(pre, offset)) : ConstView{}, dw, db,
                                  at(dx, offset)});
      const std::vector<float> all = dx.get();
      results[offset].assign(all.begin() + offset, all.end());
    }
    expect_same_bits(results[1], results[0], "dx");
  }
}

TEST_P(LinearOp, GradientsMatchFiniteDifferences) {
  const Shape s{3, 4, 5};
  for (const Activation below : kActivations) {
    SCOPED_TRACE(trace(s, below));
    const Layer a(backend_, s);
    a.set_x_to(below);
    const Matrix dw(backend_, s.outputs, s.inputs), db(backend_, 1, s.outputs), dx(backend_, s.batch, s.inputs, type_);
    backend_.run(LinearBackward{a.x, a.w, a.dy, below,
                                needs_pre_activation(below) ? ConstView(a.below_pre) : ConstView{}, dw, db, dx});
    const Vector pre = reference::widen(a.below_pre.get()), w = reference::widen(a.w.get()),
                 b = reference::widen(a.b.get()), dy = reference::widen(a.dy.get());
    const auto loss = [&](const Vector& p, const Vector& weight, const Vector& bias) {
      return dot(dy, reference::affine(activate(below, p), weight, bias, s.inputs, s.outputs));
    };
    // float32 rounding of sums of at most five products of order one; as bf16, x and slopes are rounded, and dx twice
    const double tolerance = 2e-6 + 24 * rounding_;
    const auto of_w = [&](const Vector& v) { return loss(pre, v, b); };
    const auto of_b = [&](const Vector& v) { return loss(pre, w, v); };
    const auto of_pre = [&](const Vector& v) { return loss(v, w, b); };
    expect_close(dw.get(), central_differences(of_w, w), tolerance, 0, "dw");
    expect_close(db.get(), central_differences(of_b, b), tolerance, 0, "db");
    expect_close(dx.get(), central_differences(of_pre, pre), tolerance, 0, "dx");
  }
}

TEST_P(LinearOp, AnEmptyDxIsNotComputed) {
  for (const Shape s : kSmallAndLarge) {
    SCOPED_TRACE(trace(s, Activation::identity));
    const Layer a(backend_, s);
    const Matrix dw(backend_, s.outputs, s.inputs), db(backend_, 1, s.outputs), dx(backend_, s.batch, s.inputs, type_);
    const Matrix dw_alone(backend_, s.outputs, s.inputs), db_alone(backend_, 1, s.outputs);
    backend_.run(LinearBackward{a.x, a.w, a.dy, Activation::identity, {}, dw, db, dx});
    backend_.run(LinearBackward{a.x, a.w, a.dy, Activation::identity, {}, dw_alone, db_alone, {}});
    expect_same_bits(dw.get(), dw_alone.get(), "dw");
    expect_same_bits(db.get(), db_alone.get(), "db");
  }
}

TEST_P(LinearOp, EmptyGradientsOfTheParametersAreNotComputed) {
  for (const Shape s : kSmallAndLarge)
    for (const Activation below : {Activation::identity, Activation::gelu}) {
      SCOPED_TRACE(trace(s, below));
      const Layer a(backend_, s);
      a.set_x_to(below);
      const Matrix dw(backend_, s.outputs, s.inputs), db(backend_, 1, s.outputs),
          dx(backend_, s.batch, s.inputs, type_), dx_alone(backend_, s.batch, s.inputs, type_);
      LinearBackward op{a.x, a.w, a.dy, below, needs_pre_activation(below) ? ConstView(a.below_pre) : ConstView{},
                        dw,  db,  dx};
      backend_.run(op);
      op.dw = op.db = View{}, op.dx = dx_alone;
      backend_.run(op);
      expect_same_bits(dx.get(), dx_alone.get(), "dx");
    }
}

// start + gradient, rounded once more than the gradient, or summed in another order.
TEST_P(LinearOp, GradientsAreAddedWhereAskedFor) {
  for (const Shape s : kSmallAndLarge) {
    SCOPED_TRACE(trace(s, Activation::identity));
    const Layer a(backend_, s);
    const std::vector<float> start_w = random_vector(s.outputs * s.inputs, 71), start_b = random_vector(s.outputs, 72);
    const Matrix dw(backend_, s.outputs, s.inputs), db(backend_, 1, s.outputs),
        more_w(backend_, s.outputs, s.inputs, start_w), more_b(backend_, 1, s.outputs, start_b),
        zero_w(backend_, s.outputs, s.inputs, std::vector<float>(start_w.size())),
        zero_b(backend_, 1, s.outputs, std::vector<float>(start_b.size()));
    LinearBackward op{a.x, a.w, a.dy, Activation::identity, {}, dw, db, {}};
    backend_.run(op);
    op.gradients = Gradients::add;
    op.dw = more_w, op.db = more_b;
    backend_.run(op);
    op.dw = zero_w, op.db = zero_b;
    backend_.run(op);
    const auto sum = [](const std::vector<float>& x, const std::vector<float>& y) {
      Vector both;
      for (std::size_t i = 0; i < x.size(); ++i) both.push_back(double{x[i]} + double{y[i]});
      return both;
    };
    const double atol = 1e-6 * std::sqrt(s.batch);
    expect_close(more_w.get(), sum(start_w, dw.get()), 2 * atol, 1e-6, "dw");
    expect_close(more_b.get(), sum(start_b, db.get()), atol, 1e-6, "db");
    expect_close(zero_w.get(), reference::widen(dw.get()), 2 * atol, 1e-6, "dw from zero");
    expect_close(zero_b.get(), reference::widen(db.get()), atol, 1e-6, "db from zero");
  }
}

TEST_P(LinearOp, TheGradientOfTheInputsIsAddedWhereAskedFor) {
  for (const Shape s : kSmallAndLarge) {
    SCOPED_TRACE(trace(s, Activation::identity));
    const Layer a(backend_, s);
    const std::vector<float> start = random_vector(s.batch * s.inputs, 73);
    const Matrix dw(backend_, s.outputs, s.inputs), db(backend_, 1, s.outputs), dx(backend_, s.batch, s.inputs),
        more(backend_, s.batch, s.inputs, start);
    LinearBackward op{a.x, a.w, a.dy, Activation::identity, {}, dw, db, dx};
    backend_.run(op);
    op.dx_gradients = Gradients::add;
    op.dx = more;
    backend_.run(op);
    Vector want = reference::widen(dx.get());
    for (std::size_t i = 0; i < start.size(); ++i) want[i] += double{start[i]};
    expect_close(more.get(), want, 1e-6 * std::sqrt(s.outputs), 1e-6, "dx");
  }
}

TEST_P(LinearOp, SameBitsEveryTime) {
  for (const Shape s : kSmallAndLarge) {
    SCOPED_TRACE(trace(s, Activation::gelu));
    const Layer a(backend_, s);
    std::vector<std::vector<float>> first;
    for (int run = 0; run < 3; ++run) {
      const Matrix pre(backend_, s.batch, s.outputs, type_), y(backend_, s.batch, s.outputs, type_);
      const Matrix dw(backend_, s.outputs, s.inputs), db(backend_, 1, s.outputs),
          dx(backend_, s.batch, s.inputs, type_);
      backend_.run(Linear{a.x, a.w, a.b, Activation::gelu, pre, y});
      backend_.run(LinearBackward{a.x, a.w, a.dy, Activation::tanh, {}, dw, db, dx});
      const std::vector<std::vector<float>> results{pre.get(), y.get(), dw.get(), db.get(), dx.get()};
      if (run == 0) first = results;
      for (std::size_t i = 0; i < results.size(); ++i)
        expect_same_bits(results[i], first[i], "result " + std::to_string(i));
    }
  }
}

}  // namespace
}  // namespace cuvae
