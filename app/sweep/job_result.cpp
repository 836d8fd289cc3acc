// Results of trainings as CBOR (RFC 8949), which keeps every double and every byte of a model.
#include "sweep/job_result.h"

#include <fmt/format.h>

#include "handgrad/base/errors.h"

namespace handgrad::app {

std::string serialize(const JobResult& result) {
  Json models = Json::object();
  for (const auto& [configuration, model] : result.models) {
    models[configuration] = Json::binary({model.begin(), model.end()});
  }
  std::string bytes;
  Json::to_cbor({{"seeds", result.of_seeds}, {"models", models}}, bytes);
  return bytes;
}

JobResult parse_job_result(const std::string& bytes) {
  try {
    const Json json = Json::from_cbor(bytes);
    JobResult result;
    for (const Json& of_seed : json.at("seeds")) result.of_seeds.push_back(of_seed);
    for (const auto& [configuration, model] : json.at("models").items()) {
      const auto& content = model.get_binary();
      result.models.emplace_back(configuration, std::string(content.begin(), content.end()));
    }
    return result;
  } catch (const Json::exception& error) {
    throw LaunchError(fmt::format(
        "a result that another process has sent is damaged ({}); start all again, the sweep goes on",
        error.what()));
  }
}

}  // namespace handgrad::app
