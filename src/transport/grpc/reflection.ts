import {
  descriptorBytes,
  FILE_DESCRIPTORS,
  type FileDescriptor,
} from "../../pb/descriptors.ts";
import {
  newErrorResponse,
  newExtensionNumberResponse,
  newFileDescriptorResponse,
  newListServiceResponse,
  newServerReflectionResponse,
  newServiceResponse,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionService as V1,
} from "../../pb/grpc_reflection_v1.ts";
import { ServerReflectionService as V1Alpha } from "../../pb/grpc_reflection_v1alpha.ts";
import type { MessageReceiver, MessageWriter, Method } from "./service.ts";
import { Code } from "./status.ts";

/** A client that does not read its answers gets no more beyond this; descriptors are some 50 KiB in all. */
const MAX_BUFFERED_BYTES = 1 << 20;

/**
 * Server reflection, v1 and v1alpha (the same messages under two names): which services there are among
 * `served`, and the descriptors of their files.
 */
export function reflectionMethods(served: readonly string[]): Method[] {
  const open = (
    _call: unknown,
    out: MessageWriter<ServerReflectionResponse>,
  ): MessageReceiver<ServerReflectionRequest> => ({
    onMessage(request) {
      if (out.bufferedBytes > MAX_BUFFERED_BYTES) {
        out.end({
          code: Code.ResourceExhausted,
          message: "answers are not read",
        });
      } else out.send(answer(request, served));
    },
    onHalfClose: () => out.end(),
    onCancel: () => {},
  });
  return [
    { ...V1.methods.serverReflectionInfo, kind: "duplex", open },
    { ...V1Alpha.methods.serverReflectionInfo, kind: "duplex", open },
  ];
}

function answer(
  request: ServerReflectionRequest,
  served: readonly string[],
): ServerReflectionResponse {
  const response = newServerReflectionResponse({
    validHost: request.host,
    originalRequest: request,
  });
  if (request.listServices !== undefined) {
    response.listServicesResponse = newListServiceResponse({
      service: served.map((name) => newServiceResponse({ name })),
    });
  } else if (request.fileByFilename !== undefined) {
    const name = request.fileByFilename;
    fill(response, FILE_DESCRIPTORS.find((file) => file.name === name), name);
  } else if (request.fileContainingSymbol !== undefined) {
    const symbol = request.fileContainingSymbol;
    const found = FILE_DESCRIPTORS.find((file) =>
      file.symbols.includes(symbol)
    );
    fill(response, found, symbol);
  } else if (request.allExtensionNumbersOfType !== undefined) {
    const name = request.allExtensionNumbersOfType;
    if (FILE_DESCRIPTORS.some((file) => file.symbols.includes(name))) {
      response.allExtensionNumbersResponse = newExtensionNumberResponse({
        baseTypeName: name,
      });
    } else fail(response, Code.NotFound, `unknown: ${name}`);
  } else if (request.fileContainingExtension !== undefined) {
    fail(response, Code.NotFound, "there are no extensions");
  } else {
    fail(response, Code.InvalidArgument, "nothing is asked for");
  }
  return response;
}

function fill(
  response: ServerReflectionResponse,
  file: FileDescriptor | undefined,
  asked: string,
): void {
  if (file === undefined) {
    return fail(response, Code.NotFound, `unknown: ${asked}`);
  }
  response.fileDescriptorResponse = newFileDescriptorResponse({
    fileDescriptorProto: withDependencies(file).map(descriptorBytes),
  });
}

function fail(
  response: ServerReflectionResponse,
  errorCode: number,
  errorMessage: string,
): void {
  response.errorResponse = newErrorResponse({ errorCode, errorMessage });
}

/** The file and all that it imports, itself first. */
function withDependencies(file: FileDescriptor): FileDescriptor[] {
  const all = new Set([file]);
  for (const found of all) {
    for (const name of found.dependencies) {
      const dependency = FILE_DESCRIPTORS.find((f) => f.name === name);
      if (dependency !== undefined) all.add(dependency);
    }
  }
  return [...all];
}
