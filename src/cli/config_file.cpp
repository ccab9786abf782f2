#include "cli/config_file.h"

#include <string>

#include "atomic_file.h"
#include "input_file.h"
#include "json_text.h"
#include "text.h"

namespace cuvae::cli {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostBytes = 1 << 20;

std::string flag_text(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

Json parse_object(const std::filesystem::path& path) {
  const std::string text = read_file(path, kMostBytes);
  try {
    Json object = parse_json(text);
    if (!object.is_object()) throw Error("is not a JSON object");
    return object;
  } catch (const Error& error) {
    throw Error(path.string() + ": " + error.what());
  }
}

}  // namespace

void apply_config_file(CLI::App& app, const std::filesystem::path& path) {
  // A flag wins over the file, also where the file spells the widths apart.
  const bool hidden_given = app.count("--hidden") > 0;
  const Json object = parse_object(path);
  for (const auto& [key, value] : object.items()) {
    CLI::Option* const option = app.get_option_no_throw("--" + key);
    if (option == nullptr || !option->get_configurable()) throw Error(path.string() + ": unknown key '" + key + "'");
    if (option->count() > 0 || (hidden_given && key.ends_with("-hidden"))) continue;
    if (value.is_object() || value.is_null()) throw Error(path.string() + ": '" + key + "' must be a value or a list");
    if (value.is_array() && value.empty()) continue;
    try {
      for (const Json& item : value.is_array() ? value : Json::array({value}))
        option->add_result(key == "data" ? path_from_json(flag_text(item)) : flag_text(item));
      option->run_callback();
    } catch (const CLI::ParseError& error) {
      throw Error(path.string() + ": " + error.what());
    }
  }
}

bool is_config(const std::filesystem::path& path) {
  const std::string text = read_file(path, kMostBytes);
  try {
    const Json object = parse_json(text);
    const auto has = [&](const char* key) { return object.contains(key); };
    return has("data") && has("latent") && has("encoder-hidden") && has("decoder-hidden") && has("likelihood");
  } catch (const Error&) {
    return false;
  }
}

Settings read_config(const std::filesystem::path& path) {
  Settings settings;
  CLI::App app;
  add_settings(app, settings);
  apply_config_file(app, path);
  resolve(app, settings);
  return settings;
}

void write_config(const std::filesystem::path& path, const Settings& settings) {
  write_file_atomically(path, [&](std::ostream& out) { out << settings_json(settings).dump(2) << '\n'; });
}

}  // namespace cuvae::cli
