// Functions for the text of PTX.
#pragma once
#include <string>
#include <vector>

namespace ptx {

/// The text without white space at its ends, and without any white space.
std::string trimmed(const std::string& text);
std::string without_space(const std::string& text);
/// The trimmed parts between separators that no brace or bracket encloses.
std::vector<std::string> split(const std::string& text, char separator);
std::vector<std::string> words(const std::string& text);
/// A readable kernel name: without arguments and without the namespaces that are the same for all.
std::string readable(const std::string& mangled);

}  // namespace ptx
