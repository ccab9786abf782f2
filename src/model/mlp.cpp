#include "cuvae/mlp.h"

#include <algorithm>

#include "ops/check.h"

namespace cuvae {

const Parameter& ParameterLayout::add_vector(std::string name, Index size) {
  add(std::move(name), 1, size);
  parameters_.back().vector = true;
  return parameters_.back();
}

const Parameter& ParameterLayout::add(std::string name, Index rows, Index cols) {
  parameters_.push_back({std::move(name), rows, cols, size_, false});
  size_ += (rows * cols + 15) / 16 * 16;
  return parameters_.back();
}

Index ParameterLayout::count() const {
  Index n = 0;
  for (const Parameter& p : parameters_) n += p.size();
  return n;
}

Mlp::Mlp(const std::string& name, std::vector<Index> widths, Activation activation, ParameterLayout& layout)
    : widths_(std::move(widths)), activation_(activation) {
  for (std::size_t i = 0; i + 1 < widths_.size(); ++i) {
    const std::string layer = name + "." + std::to_string(i);
    weights_.push_back(layout.add(layer + ".weight", widths_[i + 1], widths_[i]));
    biases_.push_back(layout.add_vector(layer + ".bias", widths_[i + 1]));
  }
}

Index Mlp::widest_hidden() const {
  return widths_.size() > 2 ? *std::max_element(widths_.begin() + 1, widths_.end() - 1) : 1;
}

ConstView Weights::slice(const Parameter& p, DType type) const {
  if (type == DType::f32) return {f32 + p.offset, p.rows, p.cols};
  return {static_cast<const std::uint16_t*>(rounded) + p.offset, p.rows, p.cols, type};
}

MlpActivations Mlp::allocate(Backend& backend, Index rows, DType result_type) const {
  MlpActivations a;
  a.rows = rows;
  a.hidden_type = backend.activation_type();
  a.result_type = result_type;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const bool last = i + 1 == weights_.size();
    const std::size_t bytes =
        size_of(last ? a.result_type : a.hidden_type) * static_cast<std::size_t>(rows * widths_[i + 1]);
    a.result.push_back(backend.allocate(bytes));
    a.pre.push_back(!last && needs_pre_activation(activation_) ? backend.allocate(bytes) : Buffer());
  }
  return a;
}

namespace {
View slice(float* arena, const Parameter& p) { return {arena + p.offset, p.rows, p.cols}; }
View rows_of(const Buffer& b, Index rows, Index cols, DType type) { return b ? b.view(rows, cols, type) : View{}; }
}  // namespace

void Mlp::check(const char* op, ConstView x, const MlpActivations& a) const {
  if (a.result.size() != weights_.size() || a.pre.size() != weights_.size())
    throw Error(std::string(op) + ": the network has " + std::to_string(weights_.size()) +
                " layers but the activations were made for " + std::to_string(a.result.size()));
  if (x.rows > a.rows)
    throw Error(std::string(op) + ": x is " + shape(x) + " but the activations were made for " +
                std::to_string(a.rows) + " rows");
}

View Mlp::forward(Backend& backend, const Weights& weights, ConstView x, const MlpActivations& a) const {
  check("forward", x, a);
  View y;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const bool last = i + 1 == weights_.size();
    const Activation act = last ? Activation::identity : activation_;
    y = a.result[i].view(x.rows, widths_[i + 1], last ? a.result_type : a.hidden_type);
    backend.run(Linear{x, weights.slice(weights_[i], x.dtype), weights.slice(biases_[i], y.dtype), act,
                       rows_of(a.pre[i], x.rows, widths_[i + 1], y.dtype), y});
    x = y;
  }
  return y;
}

void Mlp::backward(Backend& backend, const Weights& weights, float* grads, ConstView x, const MlpActivations& a,
                   ConstView dy, const Buffer (&scratch)[2], View dx, Gradients gradients,
                   Gradients dx_gradients) const {
  check("backward", x, a);
  const auto gradient = [&](const Parameter& p) { return grads != nullptr ? slice(grads, p) : View{}; };
  for (std::size_t i = weights_.size(); i-- > 0;) {
    if (i == 0 && grads == nullptr && !dx) return;
    const Index rows = x.rows;
    const ConstView below = i == 0 ? x : a.result[i - 1].view(rows, widths_[i], a.hidden_type);
    const ConstView below_pre = i == 0 ? View{} : rows_of(a.pre[i - 1], rows, widths_[i], a.hidden_type);
    const Activation act = i == 0 ? Activation::identity : activation_;
    const View dbelow = i == 0 ? dx : scratch[i % 2].view(rows, widths_[i], a.hidden_type);
    backend.run(LinearBackward{below, weights.slice(weights_[i], below.dtype), dy, act, below_pre,
                               gradient(weights_[i]), gradient(biases_[i]), dbelow, gradients,
                               i == 0 && dx ? dx_gradients : Gradients::replace});
    dy = dbelow;
  }
}

}  // namespace cuvae
