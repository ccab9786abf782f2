// What a network with conditions needs: join_columns, which copies, so that every value is exact, and linear_backward
// with a dx of the first columns alone.
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;

class JoinColumnsOp : public OpTest {};
CUVAE_IN_EVERY_PRECISION(JoinColumnsOp);

TEST_P(JoinColumnsOp, IsTheReferences) {
  for (const auto& [B, K, I, C] : {std::tuple<Index, Index, Index, Index>{1, 1, 1, 1},
                                   {7, 1, 784, 10},
                                   {5, 3, 20, 10},
                                   {700, 2, 3, 1},
                                   {2, 9, 31, 257}}) {
    SCOPED_TRACE("B " + std::to_string(B) + ", K " + std::to_string(K) + ", I " + std::to_string(I) + ", C " +
                 std::to_string(C));
    const Matrix left(backend_, B * K, I, random_vector(B * K * I, 1), type_),
        right(backend_, B, C, random_vector(B * C, 2), type_), joined(backend_, B * K, I + C, type_);
    backend_.run(JoinColumns{left, right, joined});
    const reference::Vector want =
        reference::join_columns(reference::widen(left.get()), I, reference::widen(right.get()), C);
    expect_close(joined.get(), want, 0, 0, "joined");
  }
}

// Inputs are uniform on [-1, 1], with the bounds of test_linear.cpp. On CUDA one kernel takes a small layer, products a
// large one. dw does not depend on dx.
TEST_P(JoinColumnsOp, ALayersDxCanBeOfTheFirstColumnsAlone) {
  for (const auto& [B, I, O] : {std::tuple<Index, Index, Index>{33, 65, 31}, {131, 257, 130}})
    for (const DType dx_type : {type_, DType::f32})
      for (const Index J : {Index{1}, Index{32}, I - 1}) {
        SCOPED_TRACE("B " + std::to_string(B) + ", J " + std::to_string(J) + (dx_type == DType::f32 ? "" : ", bf16"));
        const std::vector<float> start = random_vector(B * J, 4);
        const Matrix x(backend_, B, I, random_vector(B * I, 1), type_),
            w(backend_, O, I, random_vector(O * I, 2), type_), dy(backend_, B, O, random_vector(B * O, 3), type_),
            dw(backend_, O, I), db(backend_, 1, O), dx(backend_, B, J, dx_type), more(backend_, B, J, start);
        LinearBackward op{.x = x, .w = w, .dy = dy, .dw = dw, .db = db, .dx = dx};
        backend_.run(op);
        op.dx = more, op.dx_gradients = Gradients::add;
        backend_.run(op);
        const auto want =
            reference::linear_backward(reference::widen(x.get()), reference::widen(w.get()), reference::widen(dy.get()),
                                       reference::Vector(static_cast<std::size_t>(B * I), 1), I, O);
        reference::Vector first, sum;
        for (Index i = 0; i < B * J; ++i) {
          first.push_back(want.dx[static_cast<std::size_t>(i / J * I + i % J)]);
          sum.push_back(first.back() + double{start[static_cast<std::size_t>(i)]});
        }
        const double atol = 1e-6 * std::sqrt(O);
        expect_close(dx.get(), first, atol, 1e-6 + (dx_type == DType::bf16 ? rounding_ : 0), "dx");
        expect_close(more.get(), sum, atol, 1e-6, "dx added to");
        expect_close(dw.get(), want.dw, 1e-6 * std::sqrt(B), 1e-6, "dw");
      }
}

}  // namespace
}  // namespace cuvae
