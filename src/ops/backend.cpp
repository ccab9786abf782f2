// The checks of every op, once for all backends; those between encoder and decoder are in backend_latent.cpp.
#include "cuvae/backend.h"

#include <utility>

#include "ops/op_check.h"

namespace cuvae {

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(backend_, other.backend_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr) backend_->do_free(data_);
}

void Buffer::refuse(Index rows, Index cols, DType type) const {
  throw Error("view: a buffer of " + std::to_string(bytes_) + " bytes does not hold " +
              shape(ConstView{nullptr, rows, cols, type}));
}

Buffer Backend::allocate(std::size_t bytes) {
  Buffer b;
  b.data_ = do_allocate(bytes);
  b.backend_ = this;
  b.bytes_ = bytes;
  return b;
}
void Backend::upload(void* device, const void* host, std::size_t bytes) { do_upload(device, host, bytes); }
void Backend::download(void* host, const void* device, std::size_t bytes) { do_download(host, device, bytes); }
void Backend::zero(void* device, std::size_t bytes) { do_zero(device, bytes); }
void Backend::synchronize() { do_synchronize(); }
std::unique_ptr<DoubleBuffer> Backend::make_double_buffer(std::size_t bytes_of_a_half) {
  return do_make_double_buffer(bytes_of_a_half);
}

void Backend::gather_batch(ConstView pixels, const BatchRows& rows, Binarize binarize, const Noise& noise, View x) {
  const Check check("gather_batch", *this);
  check.given("pixels", pixels);
  check.true_that(pixels.dtype != DType::bf16, "pixels is " + shape(pixels) + " but must be u8 or f32");
  check.activation("x", x);
  check.true_that(pixels.cols == x.cols, "pixels is " + shape(pixels) + " but x is " + shape(x));
  const Index epoch = rows.rows;
  check.true_that(epoch >= 1 && (rows.order != nullptr || epoch <= pixels.rows),
                  "an epoch of " + std::to_string(epoch) + " rows does not fit pixels " + shape(pixels));
  const Index first = rows.step == nullptr ? rows.first_row : 0;
  check.true_that(first >= 0 && first <= epoch - x.rows,
                  "rows " + std::to_string(first) + " to " + std::to_string(first + x.rows) +
                      " lie outside an epoch of " + std::to_string(epoch) + " rows");
  if (binarize == Binarize::stochastic) check_noise(check, noise);
  do_gather_batch(pixels, rows, binarize, noise, x);
}

void Backend::linear(ConstView x, ConstView w, ConstView b, Activation act, View pre, View y) {
  const Check check("linear", *this);
  check.activation("x", x);
  check.activation("w", w);
  check.true_that(x.cols == w.cols, "x is " + shape(x) + " but w is " + shape(w));
  check.activation_or_f32("y", y);
  check.matches("b", b, y.dtype, 1, w.rows, "w", w);
  check.true_that(y.rows == x.rows && y.cols == w.rows,
                  "x is " + shape(x) + " and w is " + shape(w) + " but y is " + shape(y));
  if (pre) check.matches("pre", pre, y.dtype, y.rows, y.cols, "y", y);
  check.true_that(pre || !needs_pre_activation(act),
                  "pre is not given but " + std::string(to_string(act)) + " needs it");
  do_linear(x, w, b, act, pre, y);
}

void Backend::linear_backward(ConstView x, ConstView w, ConstView dy, Activation below, ConstView below_pre, View dw,
                              View db, View dx) {
  const Check check("linear_backward", *this);
  check.activation("x", x);
  check.activation("w", w);
  check.activation("dy", dy);
  check.true_that(x.cols == w.cols, "x is " + shape(x) + " but w is " + shape(w));
  check.true_that(dy.rows == x.rows && dy.cols == w.rows,
                  "x is " + shape(x) + " and w is " + shape(w) + " but dy is " + shape(dy));
  check.matches("dw", dw, DType::f32, w.rows, w.cols, "w", w);
  check.matches("db", db, DType::f32, 1, w.rows, "w", w);
  if (dx) {
    if (below == Activation::identity) check.activation_or_f32("dx", dx);
    check.matches("dx", dx, below == Activation::identity ? dx.dtype : x.dtype, x.rows, x.cols, "x", x);
    if (needs_pre_activation(below)) check.matches("below_pre", below_pre, x.dtype, x.rows, x.cols, "x", x);
  }
  do_linear_backward(x, w, dy, below, below_pre, dw, db, dx);
}

void Backend::adam(const Arena& arena, const OptimizerStep& step, const float* loss, StepState* state, double* sums) {
  const Check check("adam", *this);
  check.pointer("params", arena.params);
  check.pointer("grads", arena.grads);
  check.pointer("m", arena.m);
  check.true_that(arena.v != nullptr || step.kind == Optimizer::sgd, "v is not given");
  check.true_that(arena.ema != nullptr || step.ema_decay == 0,
                  "ema is not given but its decay is " + number(step.ema_decay));
  check.true_that(arena.rounded == nullptr || activation_type() == DType::bf16,
                  "a bf16 copy of the parameters is given but activations are f32");
  check.true_that(arena.size >= 1, "the arena has " + std::to_string(arena.size) + " floats");
  const LearningRate& lr = step.learning_rate;
  check.true_that(lr.kind != LearningRate::Kind::step || lr.every_steps >= 1,
                  "a step schedule needs every_steps of at least 1");
  check.true_that(lr.kind != LearningRate::Kind::pieces || (lr.pieces >= 1 && lr.pieces <= LearningRate::kMaxPieces),
                  "a schedule has " + std::to_string(lr.pieces) + " pieces but needs 1 to " +
                      std::to_string(LearningRate::kMaxPieces));
  check.pointer("loss", loss);
  check.pointer("state", state);
  check.pointer("sums", sums);
  do_adam(arena, step, loss, state, sums);
}

void Backend::round_to_bf16(ConstView from, View to) {
  const Check check("round_to_bf16", *this);
  check.true_that(activation_type() == DType::bf16, "activations are f32 on " + name());
  check.f32("from", from);
  check.matches("to", to, DType::bf16, from.rows, from.cols, "from", from);
  do_round_to_bf16(from, to);
}

void Backend::moments(ConstView x, double* acc) {
  const Check check("moments", *this);
  check.f32("x", x);
  check.pointer("acc", acc);
  do_moments(x, acc);
}

}  // namespace cuvae
