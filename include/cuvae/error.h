// The exception that the library throws.
#pragma once
#include <stdexcept>

namespace cuvae {

/// Thrown for every failure: a wrong shape, an unreadable file, a diverged run. The text is one line that names the op
/// or the file, the condition, and both values: "linear: x is [32, 784] but w is [400, 785]".
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace cuvae
