// Multilayer perceptrons whose parameters are slices of one arena.
#pragma once
#include <string>
#include <vector>

#include "cuvae/backend.h"

namespace cuvae {

/// A named slice of the arena, row-major [rows, cols]. A vector, such as a bias, is [1, cols] and is saved as [cols].
struct Parameter {
  std::string name;  ///< "encoder.0.weight"
  Index rows = 0, cols = 0;
  Index offset = 0;     ///< its first float in the arena
  bool vector = false;  ///< rows is 1 and is not saved as a dimension
  Index size() const { return rows * cols; }
};

/// Assigns slices of the arena to parameters. Each slice starts on a 64-byte boundary; the gaps stay zero.
class ParameterLayout {
 public:
  const Parameter& add(std::string name, Index rows, Index cols);
  const Parameter& add_vector(std::string name, Index size);
  const std::vector<Parameter>& parameters() const { return parameters_; }
  Index size() const { return size_; }  ///< number of floats in the arena, with gaps
  Index count() const;                  ///< number of parameters, without gaps

 private:
  std::vector<Parameter> parameters_;
  Index size_ = 0;
};

/// The arena of parameters, and its bf16 copy if the backend's activations are bf16.
struct Weights {
  const float* f32 = nullptr;
  void* rounded = nullptr;
  ConstView slice(const Parameter& p, DType type) const;
};

/// Results of a forward pass that the backward pass needs, for at most `rows` rows.
struct MlpActivations {
  Index rows = 0;
  std::vector<Buffer> result, pre;                           // of each layer; pre only if the activation needs it
  DType hidden_type = DType::f32, result_type = DType::f32;  // result_type is that of the last layer
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

  /// `result_type` of the last layer must be f32 or the backend's activation type.
  MlpActivations allocate(Backend& backend, Index rows, DType result_type) const;

  /// x [B, in] -> the last layer's result [B, out], stored in `a`. Throws Error if `a` was made for fewer rows or for
  /// another network.
  View forward(Backend& backend, const Weights& weights, ConstView x, const MlpActivations& a) const;

  /// dy [B, out] -> gradients of all parameters in `grads`, an arena, which they replace or are added to, unless it is
  /// null, and dx [B, in], or of x's first columns alone, unless it is empty, likewise. `scratch` must be two buffers
  /// of B * widest_hidden() activations. Throws Error as forward does.
  void backward(Backend& backend, const Weights& weights, float* grads, ConstView x, const MlpActivations& a,
                ConstView dy, const Buffer (&scratch)[2], View dx, Gradients gradients = Gradients::replace,
                Gradients dx_gradients = Gradients::replace) const;

 private:
  void check(const char* op, ConstView x, const MlpActivations& a) const;

  std::vector<Index> widths_;
  Activation activation_;
  std::vector<Parameter> weights_, biases_;
};

}  // namespace cuvae
