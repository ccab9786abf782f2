// A message for mapped files that are cut short while they are read.
#pragma once

namespace cuvae::cli {

/// From now on, a SIGBUS in a mapped file prints one line that names the file and exits with code 1. Any other SIGBUS
/// ends the program as before. Only for the program: a library must leave signals to its host.
void report_cut_files();

}  // namespace cuvae::cli
