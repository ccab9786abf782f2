// Runs under `ulimit -v` or `ulimit -d`.
#pragma once

namespace cuvae::cli {

/// Under a limit of the address space or of the data segment, makes oneDNN compile its kernels for products now. Throws
/// Error if the limit leaves less memory than they need. oneDNN would compile them in the first product, where a failed
/// allocation ends the process by a signal. Does nothing without a limit.
void compile_products_if_limited();

}  // namespace cuvae::cli
