// The main function that both programs share: descriptors, signals, and one line for every failure.
#pragma once
#include <functional>
#include <string>

namespace cuvae::cli {

/// Exit codes of a failure and of wrong usage.
inline constexpr int kFailure = 1, kWrongUsage = 2;

/// Writes "NAME: text" to stderr and returns the code. run_main() was given the name. The text may hold names from
/// untrusted files, so control characters are escaped.
int fail(int code, const std::string& text);

/// Runs `body` and returns the exit code for main(). An exception becomes one line and kFailure. So does standard
/// output that could not be written.
int run_main(const char* name, const std::function<int()>& body);

}  // namespace cuvae::cli
