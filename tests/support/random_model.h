// A model that no training has made.
#pragma once
#include "cuvae/vae.h"
#include "op_test.h"

namespace cuvae::test {

/// A model whose every parameter is random.
inline Vae random_model(Backend& backend, const VaeConfig& config) {
  Vae vae(backend, config, 1);
  const std::vector<float> arena = random_vector(vae.layout().size(), 5, -0.7f, 0.7f);
  backend.upload(vae.params(), arena.data(), arena.size() * sizeof(float));
  vae.refresh_weights();
  return vae;
}

}  // namespace cuvae::test
