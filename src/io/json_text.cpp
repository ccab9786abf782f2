#include "io/json_text.h"

#include <set>

#include "cuvae/error.h"

namespace cuvae {
namespace {

using nlohmann::json;

constexpr std::size_t kMostDepth = 64, kMostValues = 1'000'000, kMostOrderedMembers = 1000;

/// Limits nlohmann's parser, which itself accepts any depth, any size and equal keys.
class Check : public nlohmann::json_sax<json> {
 public:
  Check(std::size_t first_byte, std::size_t most_members) : first_byte_(first_byte), most_members_(most_members) {}

  bool null() override { return count(); }
  bool boolean(bool) override { return count(); }
  bool number_integer(number_integer_t) override { return count(); }
  bool number_unsigned(number_unsigned_t) override { return count(); }
  bool number_float(number_float_t, const string_t&) override { return count(); }
  bool string(string_t&) override { return count(); }
  bool binary(binary_t&) override { return count(); }
  bool start_object(std::size_t) override { return open(); }
  bool start_array(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second) throw Error("has the key " + in_quotes(name) + " twice");
    if (keys_.back().size() > most_members_)
      throw Error("has an object of more than " + std::to_string(most_members_) + " members");
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const json::exception& error) override {
    if (dynamic_cast<const json::out_of_range*>(&error) != nullptr) throw Error("has a number that is too large");
    throw Error("is not JSON at byte " + std::to_string(first_byte_ + position - 1));
  }

 private:
  bool count() {
    if (++values_ > kMostValues) throw Error("has more than " + std::to_string(kMostValues) + " values");
    return true;
  }
  bool open() {
    if (keys_.size() == kMostDepth) throw Error("nests deeper than " + std::to_string(kMostDepth) + " levels");
    keys_.emplace_back();
    return count();
  }
  bool close() {
    keys_.pop_back();
    return true;
  }

  std::size_t first_byte_, most_members_, values_ = 0;
  std::vector<std::set<std::string, std::less<>>> keys_;  // of each object and array around the current place
};

template <class Json>
Json parse(std::string_view text, std::size_t first_byte, std::size_t most_members) {
  // nlohmann's parser stops at a zero byte.
  if (const std::size_t zero = text.find('\0'); zero != text.npos)
    throw Error("is not JSON at byte " + std::to_string(first_byte + zero));
  Check check(first_byte, most_members);
  json::sax_parse(text, &check);
  return Json::parse(text);
}

}  // namespace

json parse_json(std::string_view text, std::size_t first_byte) { return parse<json>(text, first_byte, kMostValues); }

nlohmann::ordered_json parse_ordered_json(std::string_view text, std::size_t first_byte) {
  return parse<nlohmann::ordered_json>(text, first_byte, kMostOrderedMembers);
}

std::string in_quotes(std::string_view text) {
  return json(text.substr(0, 80)).dump(-1, ' ', true, json::error_handler_t::replace);
}

std::string short_text(const json& value) {
  return value.dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 80);
}

}  // namespace cuvae
