// Set-up of the process before anything else.
#pragma once

namespace cuvae::cli {

/// Reserves the standard descriptors that the caller closed, so that no file gets their numbers. Makes a write to a
/// closed pipe, or beyond the largest allowed file size, fail like other writes instead of raising a signal.
void prepare_process();

}  // namespace cuvae::cli
