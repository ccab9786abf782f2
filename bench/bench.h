// The benchmark program's commands; each adds itself to the command line.
#pragma once
#include <CLI/CLI.hpp>

#include "cuvae/cuvae.h"
#include "process/number_flags.h"
#include "study/clock.h"
#include "study/command.h"

namespace cuvae::bench {

/// Of --seconds.
inline constexpr cli::Range kSeconds{1e-3, 1e6};

void add_step(CLI::App& app);
void add_memory(CLI::App& app);
void add_kernels(CLI::App& app);

/// Pixels of MNIST's size and sparsity; what is learned does not matter to the time.
Dataset digits_like(Index rows);

/// The standard model, 784-400-20-400-784.
VaeConfig standard_model();

}  // namespace cuvae::bench
