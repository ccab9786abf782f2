#include "process/run_main.h"

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <stdexcept>
#include <string_view>

#include "io/text.h"
#include "process/mapped_files.h"
#include "process/process.h"

namespace cuvae::cli {
namespace {

const char* program = "cuvae";

// Allocates no memory.
void tell(std::string_view text) {
  for (const std::string_view part : {std::string_view(program), std::string_view(": "), text}) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, part.data(), part.size());
  }
}

int report(const char* text) noexcept {
  try {
    return fail(kFailure, text);
  } catch (const std::exception&) {
    tell("not enough memory\n");
    return kFailure;
  }
}

// Called for an exception that is not caught, such as in a library's threads. Almost always an allocation has failed.
[[noreturn]] void on_terminate() {
  tell("not enough memory, or a bug in the program\n");
  ::_exit(kFailure);
}

}  // namespace

int fail(int code, const std::string& text) {
  std::cerr << std::string(program) + ": " + printable(text) + "\n";
  return code;
}

int run_main(const char* name, const std::function<int()>& body) {
  program = name;
  std::set_terminate(on_terminate);
  try {
    prepare_process();
    report_cut_files();
    const int code = body();
    if (!std::cout.flush() || std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
      return fail(kFailure, "cannot write to standard output");
    return code;
  } catch (const std::bad_alloc&) {
    return report("not enough memory");
  } catch (const std::length_error&) {  // a container that cannot be so long
    return report("not enough memory");
  } catch (const std::exception& error) {
    return report(error.what());
  }
}

}  // namespace cuvae::cli
