// The checks of batches, layers and updates; those between encoder and decoder are in check_latent.cpp.
#include "ops/check.h"

#include <algorithm>

namespace cuvae {

void GatherBatch::check(const Backend& backend) const {
  const Check check(name, backend);
  check.given("pixels", pixels);
  check.true_that(pixels.dtype != DType::bf16, "pixels is " + shape(pixels) + " but must be u8 or f32");
  check.activation("x", x);
  check.true_that(pixels.cols == x.cols, "pixels is " + shape(pixels) + " but x is " + shape(x));
  const Index epoch = rows.rows;
  check.true_that(epoch >= 1 && (rows.order != nullptr || epoch <= pixels.rows),
                  "an epoch of " + std::to_string(epoch) + " rows does not fit pixels " + shape(pixels));
  const Index first = rows.first_row, whole = rows.batch > 0 ? rows.batch : x.rows;
  check.true_that(rows.step == nullptr || (first >= 0 && first <= whole - x.rows && whole <= epoch),
                  "rows " + std::to_string(first) + " to " + std::to_string(first + x.rows) +
                      " lie outside a batch of " + std::to_string(whole) + " rows of an epoch of " +
                      std::to_string(epoch));
  check.true_that(first >= 0 && first <= epoch - x.rows,
                  "rows " + std::to_string(first) + " to " + std::to_string(first + x.rows) +
                      " lie outside an epoch of " + std::to_string(epoch) + " rows");
  if (binarize == Binarize::stochastic) check_noise(check, noise);
}

void JoinColumns::check(const Backend& backend) const {
  const Check check(name, backend);
  check.activation("left", left);
  check.activation("right", right);
  check.activation("joined", joined);
  check.true_that(left.rows % right.rows == 0, "left is " + shape(left) + " but right is " + shape(right));
  check.true_that(joined.rows == left.rows && joined.cols == left.cols + right.cols,
                  "left is " + shape(left) + " and right is " + shape(right) + " but joined is " + shape(joined));
}

void FillMissing::check(const Backend& backend) const {
  const Check check(name, backend);
  check.activation("x", x);
  check.matches("y", y, x.dtype, x.rows, x.cols, "x", x);
}

void Linear::check(const Backend& backend) const {
  const Check check(name, backend);
  check.activation("x", x);
  check.activation("w", w);
  check.true_that(x.cols == w.cols, "x is " + shape(x) + " but w is " + shape(w));
  check.activation_or_f32("y", y);
  check.matches("b", b, y.dtype, 1, w.rows, "w", w);
  check.true_that(y.rows == x.rows && y.cols == w.rows,
                  "x is " + shape(x) + " and w is " + shape(w) + " but y is " + shape(y));
  if (pre) check.matches("pre", pre, y.dtype, y.rows, y.cols, "y", y);
  check.true_that(pre || !needs_pre_activation(activation),
                  "pre is not given but " + std::string(to_string(activation)) + " needs it");
}

void LinearBackward::check(const Backend& backend) const {
  const Check check(name, backend);
  check.activation("x", x);
  check.activation("w", w);
  check.activation("dy", dy);
  check.true_that(x.cols == w.cols, "x is " + shape(x) + " but w is " + shape(w));
  check.true_that(dy.rows == x.rows && dy.cols == w.rows,
                  "x is " + shape(x) + " and w is " + shape(w) + " but dy is " + shape(dy));
  if (dw || db || !dx) {
    check.matches("dw", dw, DType::f32, w.rows, w.cols, "w", w);
    check.matches("db", db, DType::f32, 1, w.rows, "w", w);
  }
  if (dx) {
    const bool identity = below == Activation::identity;
    if (identity) check.activation_or_f32("dx", dx);
    const Index cols = identity ? std::min(dx.cols, x.cols) : x.cols;
    check.matches("dx", dx, identity ? dx.dtype : x.dtype, x.rows, cols, "x", x);
    if (needs_pre_activation(below)) check.matches("below_pre", below_pre, x.dtype, x.rows, x.cols, "x", x);
  }
  check.true_that(dx_gradients == Gradients::replace || (below == Activation::identity && dx.dtype == DType::f32),
                  "dx is added to, so that it must be f32 below the identity");
}

void Adam::check(const Backend& backend) const {
  const Check check(name, backend);
  check.pointer("params", arena.params);
  check.pointer("grads", arena.grads);
  check.pointer("m", arena.m);
  check.true_that(arena.v != nullptr || step.kind == Optimizer::sgd, "v is not given");
  check.true_that(arena.ema != nullptr || step.ema_decay == 0,
                  "ema is not given but its decay is " + number(step.ema_decay));
  check.true_that(arena.rounded == nullptr || backend.activation_type() == DType::bf16,
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
}

void RoundToBf16::check(const Backend& backend) const {
  const Check check(name, backend);
  check.true_that(backend.activation_type() == DType::bf16, "activations are f32 on " + backend.name());
  check.f32("from", from);
  check.matches("to", to, DType::bf16, from.rows, from.cols, "from", from);
}

void CountStep::check(const Backend& backend) const {
  const Check check(name, backend);
  check.pointer("loss", loss);
  check.true_that(latent >= 1, "latent is " + std::to_string(latent) + " but must be at least 1");
  check.pointer("of_step", of_step);
  check.pointer("sums", sums);
  check.pointer("step_moments", step_moments);
  check.pointer("moments", moments);
}

void Moments::check(const Backend& backend) const {
  const Check check(name, backend);
  check.f32("x", x);
  check.pointer("acc", acc);
}

}  // namespace cuvae
