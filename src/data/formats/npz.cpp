#include "data/formats/npz.h"

#include <system_error>

#include "data/bytes/stream.h"
#include "data/bytes/zip.h"
#include "io/json_text.h"

namespace cuvae {
namespace {

constexpr std::string_view kExtension = ".npy";

bool is_file(const std::filesystem::path& path) {
  std::error_code ignored;  // if this fails, opening the whole path fails too and reports the reason
  return is_standard_input(path) || (std::filesystem::exists(path, ignored) && !is_directory(path, ignored));
}

std::string without_extension(const std::string& name) {
  return name.ends_with(kExtension) ? name.substr(0, name.size() - kExtension.size()) : name;
}

// "a", "b", "c" and 5 more.
std::string list(const std::vector<const ZipArchive::Member*>& arrays) {
  constexpr std::size_t most = 10;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, arrays.size()); ++i)
    text += (i > 0 ? ", " : "") + in_quotes(without_extension(arrays[i]->name));
  return arrays.size() > most ? text + " and " + std::to_string(arrays.size() - most) + " more" : text;
}

}  // namespace

std::pair<std::filesystem::path, std::string> split_member(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::string& whole = path.native();
  if (is_standard_input(path) || exists(path, ignored)) return {path, ""};
  for (std::size_t colon = whole.rfind(':'); colon != whole.npos && colon > 0; colon = whole.rfind(':', colon - 1))
    if (is_file(whole.substr(0, colon))) return {whole.substr(0, colon), whole.substr(colon + 1)};
  return {path, ""};
}

FileContent open_member(FileContent& archive, const std::string& name) {
  const ZipArchive zip(archive);
  std::vector<const ZipArchive::Member*> arrays;
  for (const ZipArchive::Member& member : zip.members())
    if (member.name.ends_with(kExtension)) arrays.push_back(&member);
  if (arrays.empty()) throw Error(archive.name() + ": a zip archive without arrays (.npy)");

  const ZipArchive::Member* chosen = name.empty() && arrays.size() == 1 ? arrays.front() : nullptr;
  for (const ZipArchive::Member* array : arrays)
    if (!name.empty() && (array->name == name || array->name == name + std::string(kExtension))) chosen = array;
  if (chosen == nullptr) {
    throw Error(archive.name() +
                (name.empty() ? ": has several arrays: choose one by FILE.npz:NAME, its arrays are "
                              : ": has no array " + in_quotes(name) + ", its arrays are ") +
                list(arrays));
  }
  return {archive.name() + ":" + without_extension(chosen->name), zip.open(*chosen)};
}

}  // namespace cuvae
