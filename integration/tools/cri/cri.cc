// cri SOCKET METHOD [JSON]: one call of the container runtime interface, request and answer as JSON
// (protobuf's own mapping: bytes are base64). An error's text goes to stderr, with exit code 1.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace pb = google::protobuf;

constexpr std::chrono::seconds kCallDeadline{120};

// Throws what grpc says of a failed call.
std::string call(const std::string& socket, const std::string& method, const std::string& request) {
  grpc::GenericStub stub(grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallDeadline);
  grpc::Slice slice(request);
  grpc::ByteBuffer out(&slice, 1), in;
  grpc::CompletionQueue queue;
  grpc::Status status;
  auto reader = stub.PrepareUnaryCall(&context, method, out, &queue);
  reader->StartCall();
  reader->Finish(&in, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) throw std::runtime_error(status.error_message());
  std::vector<grpc::Slice> slices;
  std::string answer;
  if (in.Dump(&slices).ok())
    for (const grpc::Slice& s : slices) answer.append(reinterpret_cast<const char*>(s.begin()), s.size());
  return answer;
}

std::string call_json(const std::string& socket, const std::string& name, const std::string& json) {
  const pb::MethodDescriptor* method =
      pb::DescriptorPool::generated_pool()->FindMethodByName("runtime.v1.RuntimeService." + name);
  if (!method) throw std::runtime_error("no method " + name + " in cri.proto");
  pb::DynamicMessageFactory factory;
  std::unique_ptr<pb::Message> request(factory.GetPrototype(method->input_type())->New());
  std::unique_ptr<pb::Message> answer(factory.GetPrototype(method->output_type())->New());
  if (auto parsed = pb::util::JsonStringToMessage(json, request.get()); !parsed.ok())
    throw std::runtime_error(std::string("the request: ") + parsed.ToString());
  if (!answer->ParseFromString(
          call(socket, "/runtime.v1.RuntimeService/" + name, request->SerializeAsString())))
    throw std::runtime_error("the answer is no " + method->output_type()->full_name());
  pb::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  if (auto printed = pb::util::MessageToJsonString(*answer, &text, options); !printed.ok())
    throw std::runtime_error(std::string("the answer: ") + printed.ToString());
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) return fprintf(stderr, "usage: cri SOCKET METHOD [JSON]\n"), 2;
  try {
    puts(call_json(argv[1], argv[2], argc == 4 ? argv[3] : "{}").c_str());
    return 0;
  } catch (const std::exception& e) {
    return fprintf(stderr, "cri: %s: %s\n", argv[2], e.what()), 1;
  }
}
