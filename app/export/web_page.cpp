// A network as a page to draw on: what its scripts read, as JSON, in the page's frame.
#include "export/web_page.h"

#include <algorithm>
#include <cstring>

#include "cli/embed.h"
#include "cli/json.h"
#include "cli/page.h"
#include "handgrad/base/errors.h"
#include "handgrad/files/little_endian.h"

HANDGRAD_EMBED(web_html, HANDGRAD_WEB_PAGE "/page.html");
HANDGRAD_EMBED(web_css, HANDGRAD_WEB_PAGE "/page.css");
HANDGRAD_EMBED(web_network, HANDGRAD_WEB_PAGE "/network.js");
HANDGRAD_EMBED(web_prepare, HANDGRAD_WEB_PAGE "/prepare.js");
HANDGRAD_EMBED(web_layers, HANDGRAD_WEB_PAGE "/layers.js");
HANDGRAD_EMBED(web_examples, HANDGRAD_WEB_PAGE "/examples.js");
HANDGRAD_EMBED(web_page, HANDGRAD_WEB_PAGE "/page.js");
HANDGRAD_EMBED(shared_look, HANDGRAD_SHARED_PAGE "/look.css");
HANDGRAD_EMBED(shared_bytes, HANDGRAD_SHARED_PAGE "/bytes.js");
HANDGRAD_EMBED(shared_elements, HANDGRAD_SHARED_PAGE "/elements.js");

namespace handgrad::app {

namespace {

// Of samples, and of mistakes, so that the page of the default network takes less than 200 KB; or as many as
// this number of images without any ground.
constexpr std::size_t most_image_bytes = 18'000;
constexpr std::size_t images_without_ground = 12;
constexpr std::int64_t samples_of_a_class = 2;
constexpr std::int64_t most_mistakes = 60;

// Mostly ground: a zero is followed by how many there are, up to 255.
std::string packed(const Tensor& pixels) {
  const Tensor bytes = pixels.contiguous();
  const auto* pixel = bytes.data_ptr<std::uint8_t>();
  const auto* const end = pixel + bytes.numel();
  std::string text;
  while (pixel != end) {
    if (*pixel != 0) {
      text += static_cast<char>(*pixel++);
      continue;
    }
    const auto* const run_end =
        std::find_if(pixel, std::min(pixel + 255, end), [](auto p) { return p != 0; });
    text += '\0';
    text += static_cast<char>(run_end - pixel);
    pixel = run_end;
  }
  return text;
}

std::string base64_of(const std::string& bytes) {
  return base64(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
}

// The first image of each class, then the second.
std::vector<std::int64_t> find_samples(const Tensor& labels, std::int64_t classes) {
  std::vector<std::int64_t> samples;
  for (std::int64_t turn = 0; turn < samples_of_a_class; ++turn) {
    for (std::int64_t c = 0; c < classes; ++c) {
      const Tensor of_class = labels.eq(c).nonzero().flatten();
      if (turn < of_class.size(0)) samples.push_back(of_class[turn].item<std::int64_t>());
    }
  }
  return samples;
}

// Those that are read as another class, the surest first.
std::vector<std::int64_t> find_mistakes(const Tensor& labels, const Tensor& probabilities) {
  const auto [certainty, read] = probabilities.max(1);
  const Tensor wrong = read.ne(labels).nonzero().flatten();
  const Tensor order =
      std::get<1>(certainty.index_select(0, wrong).sort(/*stable=*/true, 0, /*descending=*/true));
  const Tensor sorted = wrong.index_select(0, order);
  const auto* first = sorted.data_ptr<std::int64_t>();
  return {first, first + sorted.numel()};
}

// The first of them that fit.
void take_fitting(std::vector<std::int64_t>& indices, const Tensor& pixels) {
  const auto inputs = static_cast<std::size_t>(pixels.size(1));
  const std::size_t most_bytes = std::max(most_image_bytes, images_without_ground * inputs);
  std::size_t bytes = 0;
  const auto too_many = std::find_if(indices.begin(), indices.end(), [&](std::int64_t i) {
    bytes += packed(pixels[i]).size();
    return bytes > most_bytes;
  });
  indices.erase(too_many, indices.end());
}

// The layers as the page's scripts name them, and their numbers one after the other.
class PageLayers {
 public:
  explicit PageLayers(const Network& network) {
    const std::vector<Affine> affines = batch_norm_affines(network);
    for (const LayerSpec& layer : network.architecture().layers()) {
      const auto index = static_cast<std::size_t>(layer.index);
      switch (layer.kind) {
        case LayerSpec::Kind::linear:
          add("linear", layer);
          append(network.parameters.weight[index]);
          append(network.parameters.bias[index]);
          break;
        case LayerSpec::Kind::activation:
          add(title_of(layer.activation), layer);
          break;
        case LayerSpec::Kind::batch_norm:
          add("batch norm", layer);
          append(affines[index].scale);
          append(affines[index].shift);
          break;
      }
    }
  }

  Json layers = Json::array();
  std::string numbers;

 private:
  void add(const char* kind, const LayerSpec& layer) {
    layers.push_back({{"kind", kind}, {"outputs", layer.outputs}});
  }

  void append(const Tensor& tensor) {
    const Tensor values = tensor.to(at::kFloat).contiguous();
    if (!at::isfinite(values).all().item<bool>()) {
      throw ModelError("the network has numbers that leave float32; it cannot be written as a page");
    }
    const float* value = values.data_ptr<float>();
    for (std::int64_t i = 0; i < values.numel(); ++i) {
      std::uint32_t bits = 0;
      std::memcpy(&bits, value + i, sizeof(bits));
      numbers += to_little_endian(bits, sizeof(bits));
    }
  }
};

std::string part_of_page(std::string_view name, const std::string& json) {
  if (name == "model") return json;
  const std::pair<std::string_view, std::string_view> parts[] = {
      {"look.css", embedded_shared_look()},   {"page.css", embedded_web_css()},
      {"bytes.js", embedded_shared_bytes()},  {"network.js", embedded_web_network()},
      {"prepare.js", embedded_web_prepare()}, {"elements.js", embedded_shared_elements()},
      {"layers.js", embedded_web_layers()},   {"examples.js", embedded_web_examples()},
      {"page.js", embedded_web_page()}};
  for (const auto& [known, text] : parts) {
    if (name == known) return std::string(text);
  }
  throw Error("the frame of the page holds the unknown mark " + std::string(name));
}

}  // namespace

PageImages choose_page_images(const LabelledImages& images, const Tensor& probabilities) {
  std::vector<std::int64_t> chosen = find_samples(images.labels, probabilities.size(1));
  std::vector<std::int64_t> mistakes = find_mistakes(images.labels, probabilities);
  PageImages result;
  result.all = images.labels.size(0);
  result.wrong = static_cast<std::int64_t>(mistakes.size());
  if (result.wrong > most_mistakes) mistakes.resize(most_mistakes);
  take_fitting(chosen, images.pixels);
  take_fitting(mistakes, images.pixels);
  const auto label = [&](std::int64_t i) { return images.labels[i].item<std::int64_t>(); };
  std::stable_sort(chosen.begin(), chosen.end(),
                   [&](std::int64_t a, std::int64_t b) { return label(a) < label(b); });
  result.samples = static_cast<std::int64_t>(chosen.size());
  chosen.insert(chosen.end(), mistakes.begin(), mistakes.end());
  result.pixels = images.pixels.index_select(0, at::tensor(chosen, at::kLong));
  for (const std::int64_t i : chosen) {
    result.labels.push_back(label(i));
    result.names.push_back(images.name(i));
  }
  return result;
}

WebPage to_web_page(const Model& model, const PageImages& images) {
  const PageLayers layers(*model.network);
  const ImageShape shape = model.info.deskew ? model.info.shape : model.info.shape.of_pictures();
  const std::string numbers = base64_of(layers.numbers);
  const std::string pixels = images.labels.empty() ? "" : base64_of(packed(images.pixels));
  std::vector<std::string> classes;
  for (std::int64_t c = 0; c < model.network->architecture().classes; ++c) {
    classes.push_back(class_name(model.info.class_names, c));
  }
  const Json json = {{"metadata", metadata_of(model)},
                     {"rows", shape.rows},
                     {"columns", shape.columns},
                     {"classes", classes},
                     {"deskew", model.info.deskew},
                     {"layers", layers.layers},
                     {"numbers", numbers},
                     {"examples",
                      {{"pixels", pixels},
                       {"labels", images.labels},
                       {"names", images.names},
                       {"samples", images.samples},
                       {"count", images.all},
                       {"wrong", images.wrong}}}};
  const std::string text = without_tags(to_text(json, -1));
  return {fill_frame(embedded_web_html(), [&](std::string_view name) { return part_of_page(name, text); }),
          numbers.size(), pixels.size()};
}

}  // namespace handgrad::app
