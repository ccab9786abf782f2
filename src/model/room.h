// Whether buffers of a pass have room for it, and the slices of an arena.
#pragma once
#include <string>

#include "cuvae/vae.h"
#include "ops/check.h"

namespace cuvae {

inline void check_room(const char* op, const char* name, ConstView v, Index rows) {
  if (v.rows > rows)
    throw Error(std::string(op) + ": " + name + " is " + shape(v) + " but the activations were made for " +
                std::to_string(rows) + " rows");
}

inline const VaeActivations::Layer& layer_of(const VaeActivations& a, std::size_t t) {
  if (t >= a.layers.size())
    throw Error("the model has " + std::to_string(t + 1) + " or more latent layers but the activations were made for " +
                std::to_string(a.layers.size()));
  return a.layers[t];
}

inline View slice(float* arena, const Parameter& p) { return {arena + p.offset, p.rows, p.cols}; }

}  // namespace cuvae
