// Reports of the interpreter about kernels.
#pragma once
#include <string>
#include <vector>

namespace ptx {

/// Reports a mistake of a kernel. The same text is stored and printed only once.
void problem(const std::string& text);
/// The reports since the last call.
std::vector<std::string> take_problems();

/// Ends the program, because the interpreter does not know this PTX.
[[noreturn]] void unknown(const std::string& what);

}  // namespace ptx
