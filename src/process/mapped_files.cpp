#include "process/mapped_files.h"

#include <signal.h>
#include <unistd.h>

#include <cstring>

#include "data/bytes/mapped_file.h"

namespace cuvae::cli {
namespace {

void write_text(const char* text) {
  if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) return;  // there is no other place to report it
}

void on_bus_error(int signal, siginfo_t* info, void*) {
  const MappedFile* const file = info->si_code == BUS_ADRERR ? mapped_at(info->si_addr) : nullptr;
  if (file == nullptr) {  // the failing instruction runs again, and the default handler then ends the program
    ::signal(signal, SIG_DFL);
    return;
  }
  write_text("cuvae: ");
  write_text(file->name().c_str());
  write_text(
      ": the file was cut short or could not be read while it was in use; the last checkpoint of a run is kept\n");
  ::_exit(1);
}

}  // namespace

void report_cut_files() {
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace cuvae::cli
