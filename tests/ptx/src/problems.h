// What the interpreter reports of kernels.
#pragma once
#include <string>
#include <vector>

namespace ptx {

/// Notes a mistake of a kernel. The same text is kept and printed once.
void problem(const std::string& text);
/// All since the last call.
std::vector<std::string> take_problems();

/// Ends the program: this PTX is none that the interpreter knows.
[[noreturn]] void unknown(const std::string& what);

}  // namespace ptx
