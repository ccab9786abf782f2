// What the program asks of its process before anything else.
#pragma once

namespace cuvae::cli {

/// Standard descriptors that the caller closed stay unusable, but no file becomes one of them. Writing to a closed
/// pipe, or beyond the largest file that is allowed, fails as other writes do, and no signal ends the program.
void prepare_process();

}  // namespace cuvae::cli
