#include "cuvae/mlp.h"

#include <algorithm>

namespace cuvae {

const Parameter& ParameterLayout::add(std::string name, Index rows, Index cols) {
  parameters_.push_back({std::move(name), rows, cols, size_});
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
    biases_.push_back(layout.add(layer + ".bias", 1, widths_[i + 1]));
  }
}

Index Mlp::widest_hidden() const {
  return widths_.size() > 2 ? *std::max_element(widths_.begin() + 1, widths_.end() - 1) : 1;
}

MlpActivations Mlp::allocate(Backend& backend, Index rows) const {
  MlpActivations a;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const std::size_t bytes = sizeof(float) * static_cast<std::size_t>(rows * widths_[i + 1]);
    const bool last = i + 1 == weights_.size();
    a.result.push_back(backend.allocate(bytes));
    a.pre.push_back(!last && needs_pre_activation(activation_) ? backend.allocate(bytes) : Buffer());
  }
  return a;
}

namespace {
ConstView slice(const float* arena, const Parameter& p) { return {arena + p.offset, p.rows, p.cols}; }
View slice(float* arena, const Parameter& p) { return {arena + p.offset, p.rows, p.cols}; }
View rows_of(const Buffer& b, Index rows, Index cols) { return b ? b.view(rows, cols) : View{}; }
}  // namespace

View Mlp::forward(Backend& backend, const float* params, ConstView x, const MlpActivations& a) const {
  View y;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const Activation act = i + 1 == weights_.size() ? Activation::identity : activation_;
    y = a.result[i].view(x.rows, widths_[i + 1]);
    backend.linear(x, slice(params, weights_[i]), slice(params, biases_[i]), act,
                   rows_of(a.pre[i], x.rows, widths_[i + 1]), y);
    x = y;
  }
  return y;
}

void Mlp::backward(Backend& backend, const float* params, float* grads, ConstView x, const MlpActivations& a,
                   ConstView dy, const Buffer (&scratch)[2], View dx) const {
  for (std::size_t i = weights_.size(); i-- > 0;) {
    const Index rows = x.rows;
    const ConstView below = i == 0 ? x : a.result[i - 1].view(rows, widths_[i]);
    const ConstView below_pre = i == 0 ? View{} : rows_of(a.pre[i - 1], rows, widths_[i]);
    const Activation act = i == 0 ? Activation::identity : activation_;
    const View dbelow = i == 0 ? dx : scratch[i % 2].view(rows, widths_[i]);
    backend.linear_backward(below, slice(params, weights_[i]), dy, act, below_pre, slice(grads, weights_[i]),
                            slice(grads, biases_[i]), dbelow);
    dy = dbelow;
  }
}

}  // namespace cuvae
