// Runs programs as a user does. Gives their exit codes and their output.
#pragma once
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace cuvae::test {

struct ProgramResult {
  int code = 0;  ///< the exit code, or 128 + the number of the signal that ended it, as in a shell
  std::string out, err;
};

struct ProgramOptions {
  std::vector<std::pair<std::string, std::string>> environment;
  std::optional<rlim_t> largest_file;        ///< in bytes; writes beyond it fail, as on a full disk
  std::string standard_output;               ///< a path; if empty, the output is captured
  std::string standard_input = {};           ///< a path; if empty, the test's own standard input
  std::optional<rlim_t> address_space = {};  ///< the limit in bytes, as set by `ulimit -v`
};

/// A running program. The destructor kills it if it still runs.
class Program {
 public:
  explicit Program(const std::vector<std::string>& arguments, const ProgramOptions& options = {})
      : out_(captured_file()), err_(captured_file()) {
    std::vector<char*> argv;
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("fork failed");
    if (pid_ == 0) become(argv.data(), options);
  }
  ~Program() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(out_);
    ::close(err_);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void send(int signal) const { ::kill(pid_, signal); }

  /// Waits for its end. Kills it after `timeout`; its code is then 128 + SIGKILL.
  ProgramResult wait(std::chrono::milliseconds timeout = std::chrono::seconds(120)) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    int status = 0;
    while (::waitpid(pid_, &status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() > deadline) send(SIGKILL);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    pid_ = 0;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), content(out_), content(err_)};
  }

 private:
  static int captured_file() {
    const int file = ::memfd_create("output", MFD_CLOEXEC);
    if (file < 0) throw std::runtime_error("memfd_create failed");
    return file;
  }

  static std::string content(int file) {
    std::string text(static_cast<std::size_t>(::lseek(file, 0, SEEK_END)), '\0');
    if (::pread(file, text.data(), text.size(), 0) < 0) throw std::runtime_error("pread failed");
    return text;
  }

  // Runs in the child process, which shares only open files with the test.
  [[noreturn]] void become(char** argv, const ProgramOptions& options) const {
    ::signal(SIGINT, SIG_DFL);  // a script that runs the tests in the background ignores it
    ::signal(SIGTERM, SIG_DFL);
    ::unsetenv("CUVAE_DATA");
    for (const auto& [name, value] : options.environment) ::setenv(name.c_str(), value.c_str(), 1);
    if (options.largest_file) {
      const rlimit limit = {*options.largest_file, *options.largest_file};
      ::signal(SIGXFSZ, SIG_DFL);  // then the signal ends a program that does not handle it
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    if (options.address_space) {
      const rlimit limit = {*options.address_space, *options.address_space};
      ::setrlimit(RLIMIT_AS, &limit);
    }
    const std::string& path = options.standard_output;
    ::dup2(path.empty() ? out_ : ::open(path.c_str(), O_WRONLY | O_NOCTTY), STDOUT_FILENO);
    ::dup2(err_, STDERR_FILENO);
    if (!options.standard_input.empty())
      ::dup2(::open(options.standard_input.c_str(), O_RDONLY | O_NOCTTY), STDIN_FILENO);
    ::execv(argv[0], argv);
    ::_exit(127);
  }

  int out_, err_;
  pid_t pid_ = 0;
};

inline ProgramResult run_program(const std::vector<std::string>& arguments, const ProgramOptions& options = {}) {
  return Program(arguments, options).wait();
}

}  // namespace cuvae::test
