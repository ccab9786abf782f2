// Multilayer perceptrons whose parameters are slices of one arena.
#pragma once
#include <string>
#include <vector>

#include "cuvae/backend.h"

namespace cuvae {

/// A named slice of the arena, row-major [rows, cols]; vectors, as biases are, are [1, cols] and saved as [cols].
struct Parameter {
  std::string name;  ///< "encoder.0.weight"
  Index rows = 0, cols = 0;
  Index offset = 0;     ///< of its first float in the arena
  bool vector = false;  ///< rows is 1, and no dimension of a file
  Index size() const { return rows * cols; }
};

/// Hands out the slices of the arena; each starts on a 64-byte boundary, the gaps stay zero.
class ParameterLayout {
 public:
  const Parameter& add(std::string name, Index rows, Index cols);
  const Parameter& add_vector(std::string name, Index size);
  const std::vector<Parameter>& parameters() const { return parameters_; }
  Index size() const { return size_; }  ///< floats in the arena, gaps included
  Index count() const;                  ///< parameters, gaps not included

 private:
  std::vector<Parameter> parameters_;
  Index size_ = 0;
};

/// The arena of parameters, and its copy as bf16 where the backend's activations are.
struct Weights {
  const float* f32 = nullptr;
  void* rounded = nullptr;
  ConstView slice(const Parameter& p, DType type) const;
};

/// What a forward pass leaves for the backward pass, for at most `rows` rows.
struct MlpActivations {
  Index rows = 0;
  std::vector<Buffer> result, pre;                           // of each layer; pre only where the activation needs it
  DType hidden_type = DType::f32, result_type = DType::f32;  // the last layer's result has a type of its own
};

/// Linear layers with an activation after each but the last.
class Mlp {
 public:
  /// widths = {in, hidden..., out}; adds its parameters, "<name>.<i>.weight" [out, in] and "<name>.<i>.bias" [1, out].
  Mlp(const std::string& name, std::vector<Index> widths, Activation activation, ParameterLayout& layout);

  Index in() const { return widths_.front(); }
  Index out() const { return widths_.back(); }
  Index widest_hidden() const;
  const std::vector<Parameter>& weights() const { return weights_; }
  const std::vector<Parameter>& biases() const { return biases_; }

  /// The last layer's result as f32 or the backend's activation type.
  MlpActivations allocate(Backend& backend, Index rows, DType result_type) const;

  /// x [B, in] -> the last layer's result [B, out], which lies in `a`. Throws Error when `a` was made for fewer rows,
  /// or for another network.
  View forward(Backend& backend, const Weights& weights, ConstView x, const MlpActivations& a) const;

  /// dy [B, out] -> gradients of all parameters, and dx [B, in] unless it is empty. `scratch` holds two buffers of B *
  /// widest_hidden() activations. Throws Error as forward does.
  void backward(Backend& backend, const Weights& weights, float* grads, ConstView x, const MlpActivations& a,
                ConstView dy, const Buffer (&scratch)[2], View dx) const;

 private:
  void check(const char* op, ConstView x, const MlpActivations& a) const;

  std::vector<Index> widths_;
  Activation activation_;
  std::vector<Parameter> weights_, biases_;
};

}  // namespace cuvae
