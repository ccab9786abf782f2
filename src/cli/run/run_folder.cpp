#include "cli/run/run_folder.h"

#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "cli/arguments/config_file.h"
#include "cuvae/error.h"
#include "io/atomic_file.h"

namespace cuvae::cli {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& reason) {
  throw Error(path.string() + ": cannot write: " + reason);
}

[[noreturn]] void fail(const fs::path& path, int error) { fail(path, std::generic_category().message(error)); }

// `named` appears in the message: the folder, or the file that will be written to it.
void check_folder_writable(const fs::path& folder, const fs::path& named) {
  std::error_code ignored;  // if this fails, access() fails too
  if (fs::exists(folder, ignored) && !fs::is_directory(folder, ignored)) fail(named, ENOTDIR);
  if (::access(folder.c_str(), W_OK | X_OK) != 0) fail(named, errno);
}

void refuse_links(const std::vector<fs::path>& files) {
  for (const fs::path& file : files) refuse_link(file);
}

void remove_file(const fs::path& file) {
  std::error_code error;
  fs::remove(file, error);
  if (error) throw Error(file.string() + ": cannot remove: " + error.message());
}

}  // namespace

void RunFolder::prepare(bool overwrite) {
  std::error_code error;
  made_ = fs::create_directories(path_, error);
  if (error) fail(path_, error.message());
  lock();
  const bool run = holds_run();
  if (run) finish_replacement();
  if (run || !fs::exists(config())) remove_temporaries();
  if (fs::is_empty(path_)) return;
  // The folder of a run always has a config.json. Without one, the files in it are not from a run.
  if (!run) throw Error(path_.string() + ": is not empty and not a run: choose another folder");
  if (!overwrite)
    throw Error(
        path_.string() +
        ": holds a run: continue it with 'cuvae resume', replace it with --overwrite, or choose another folder");
  replacing_ = true;
}

void RunFolder::begin(const std::function<void(const RunFolder&)>& fill) {
  filling_ = true;
  if (replacing_) {
    const RunFolder next = replacement();
    if (!fs::create_directory(next.path())) fail(next.path(), EEXIST);
    fill(next);
    filling_ = false;
    install_replacement();
  } else {
    fill(*this);
    filling_ = false;
  }
}

void RunFolder::abandon() const noexcept {
  try {
    if (filling_ && replacing_) replacement().remove();
    if (filling_ && !replacing_) remove_files();
    if (made_ && fs::is_empty(path_)) fs::remove(path_);
  } catch (const std::exception&) {
    // The caller reports the first failure.
  }
}

void RunFolder::reopen() {
  if (!fs::exists(config())) throw Error(path_.string() + ": is not a run folder: it has no config.json");
  lock();
  refuse_link(replacement().path());
  refuse_links(replacement().files());
  refuse_links(files());
  if (!holds_run()) return;  // reading config.json later reports what is wrong with it
  finish_replacement();
  remove_temporaries();
}

// The checkpoint moves last. If the process is killed before that, the next command finds it and continues here.
void RunFolder::install_replacement() const {
  const RunFolder next = replacement();
  sync_folder(path_);  // the new run's folder must be on the disk before the old run's files are removed
  for (const fs::path& file : files())
    if (file != config() && file != last()) remove_file(file);
  if (fs::exists(next.config())) fs::rename(next.config(), config());
  sync_folder(path_);
  fs::rename(next.last(), last());
  next.remove();
  sync_folder(path_);
}

// For a replacement that a kill interrupted: it is installed if its checkpoint exists, else it is removed.
void RunFolder::finish_replacement() const {
  const RunFolder next = replacement();
  if (!fs::is_directory(fs::symlink_status(next.path()))) return;
  fs::exists(next.last()) ? install_replacement() : next.remove();
}

bool RunFolder::holds_run() const { return fs::exists(config()) && is_config(config()); }

void RunFolder::lock() {
  check_folder_writable(path_, path_);
  locked_.emplace(open_file(path_, O_RDONLY | O_DIRECTORY));
  if (!*locked_) fail(path_, errno);
  // On a file system without locks the folder is not locked.
  if (::flock(locked_->get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    throw Error(path_.string() + ": another process is training in this folder");
}

fs::path RunFolder::model() const {
  for (const fs::path& file : {replacement().last(), best(), last()})
    if (fs::exists(file)) return file;
  throw Error(path_.string() + ": no best.safetensors or last.safetensors in this folder");
}

// config.json comes last, so that a folder with any of the others can still be recognised as a run.
std::vector<fs::path> RunFolder::files() const {
  return {metrics(), last(), best(), samples(), reconstructions(), manifold(), config()};
}

void RunFolder::remove_temporaries() const {
  for (const fs::directory_entry& entry : fs::directory_iterator(path_))
    if (is_temporary_name(entry.path().filename())) remove_file(entry.path());
}

void RunFolder::remove_files() const {
  remove_temporaries();
  for (const fs::path& file : files()) remove_file(file);
}

void RunFolder::remove() const {
  remove_files();
  remove_file(path_);
}

void check_writable(const fs::path& file) {
  if (file == kStandardOutput) {
    if (::isatty(STDOUT_FILENO) == 1)
      throw Error("standard output: is a terminal: redirect the array to a file or a pipe, or give a file name");
    return;
  }
  std::error_code ignored;
  const fs::file_status status = fs::status(file, ignored);
  if (fs::exists(status) && !fs::is_regular_file(status)) fail(file, "not a regular file");
  check_folder_writable(file.has_parent_path() ? file.parent_path() : fs::path("."), file);
}

}  // namespace cuvae::cli
