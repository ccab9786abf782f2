#include "cli/arguments/config_file.h"

#include <algorithm>
#include <string>

#include "cli/arguments/conditions.h"
#include "data/bytes/stream.h"
#include "io/atomic_file.h"
#include "io/input_file.h"
#include "io/json_text.h"
#include "io/text.h"

namespace cuvae::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::size_t kMostBytes = 1 << 20;

// Whether the value has the option's type. The type is known from the name that help shows for the option's values.
bool has_type(const CLI::Option& option, const Json& value) {
  const std::string type = option.get_type_name();
  if (option.get_items_expected_max() == 0) return value.is_boolean();
  return type == kNumberName<Index> || type == kNumberName<double> ? value.is_number() : value.is_string();
}

// The value of a key as texts for its flag. Throws Error, "must be ...".
std::vector<std::string> flag_texts(const CLI::Option& option, const Json& value) {
  const bool list = option.get_items_expected_max() > 1;
  if (value.is_array() && (!list || value.empty()))
    throw Error(list ? "must not be an empty list; 0 stands for none" : "must be one value, not a list");
  std::vector<std::string> texts;
  for (const Json& item : value.is_array() ? value : Json::array({value})) {
    if (!has_type(option, item)) {
      const bool flag = option.get_items_expected_max() == 0, number = !flag && !has_type(option, "");
      throw Error(std::string("must be ") +
                  (flag     ? "true or false"
                   : number ? "a number"
                            : "a string") +
                  ", not " +
                  (item.is_string()       ? "a string"
                   : item.is_structured() ? "a list or an object"
                                          : item.dump()));
    }
    texts.push_back(item.is_string() ? item.get<std::string>() : item.dump());
  }
  return texts;
}

// The path relative to the folder if it is inside it, next to it or next to its parent, so that both can be moved
// together; else the path itself.
std::string near_folder(const fs::path& folder, const std::string& path) {
  if (is_standard_input(path)) return path;
  std::error_code failed;
  const fs::path absolute(path), here = fs::canonical(folder, failed),
                                 there = fs::weakly_canonical(absolute.parent_path(), failed) / absolute.filename();
  if (failed) return path;
  const fs::path relative = there.lexically_relative(here);
  const auto up = std::count(relative.begin(), relative.end(), ".."), depth = std::distance(here.begin(), here.end());
  return up <= 2 && up < depth - 1 ? relative.string() : path;  // two paths that share only "/" are not near
}

// The inverse of near_folder().
std::string from_folder(const fs::path& folder, const std::string& path) {
  if (fs::path(path).is_absolute() || is_standard_input(path)) return path;
  std::error_code failed;
  const fs::path here = fs::canonical(folder.empty() ? "." : folder, failed);
  return ((failed ? folder : here) / path).lexically_normal();
}

bool is_path(const std::string& key, const std::string& text) {
  return key == "data" || (key == "condition" && text != kLabels);
}

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

std::set<std::string> apply_config_file(CLI::App& app, const std::filesystem::path& path) {
  std::set<std::string> given;
  for (const CLI::Option* option : app.get_options())
    if (option->count() > 0) given.insert("--" + option->get_single_name());
  // A flag wins over the file, also if one gives --hidden and the other --encoder-hidden and --decoder-hidden.
  const auto overruled = [&](const std::string& key) {
    for (const std::string end : {"-hidden", "-hidden-above"}) {
      const std::string both = end.substr(1), encoder = "encoder" + end, decoder = "decoder" + end;
      if ((key == encoder || key == decoder) && given.contains("--" + both)) return true;
      if (key == both && given.contains("--" + encoder) && given.contains("--" + decoder)) return true;
    }
    return false;
  };
  std::set<std::string> applied;
  const Json object = parse_object(path);
  for (const auto& [key, value] : object.items()) {
    CLI::Option* const option = app.get_option_no_throw("--" + key);
    if (option == nullptr || !option->get_configurable())
      throw Error(path.string() + ": unknown key " + in_quotes(key));
    if (option->count() > 0 || overruled(key)) continue;
    if (value.is_array() && value.empty() && key == "lr-pieces")
      continue;  // earlier versions wrote an empty list for "none"
    try {
      for (const std::string& text : flag_texts(*option, value))
        option->add_result(is_path(key, text) ? from_folder(path.parent_path(), path_from_json(text)) : text);
      option->run_callback();
    } catch (const CLI::ParseError& error) {
      throw Error(path.string() + ": " + error.what());
    } catch (const Error& error) {
      throw Error(path.string() + ": '" + key + "' " + error.what());
    }
    applied.insert(key);
  }
  return applied;
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

void write_config(const std::filesystem::path& path, const Settings& settings, const std::filesystem::path& run) {
  write_file_atomically(path, [&](std::ostream& out) {
    nlohmann::ordered_json object = settings_json(settings);
    const auto place = [&](const char* key, const std::string& given) {
      if (!is_path(key, given)) return;
      const std::string near = near_folder(run, given);
      // A path that is not UTF-8 becomes a URI, which is absolute.
      object[key] = path_to_json(near) == near ? near : path_to_json(given);
    };
    place("data", settings.data);
    if (!settings.condition.empty()) place("condition", settings.condition);
    out << object.dump(2) << '\n';
  });
}

}  // namespace cuvae::cli
