// What happens when a file that is mapped is cut short while it is read.
#pragma once

namespace cuvae::cli {

/// From now on, a SIGBUS in a mapped file is one line that names it, and exit code 1; any other ends the program as
/// before. For the program alone: a library leaves signals to its host.
void report_cut_files();

}  // namespace cuvae::cli
