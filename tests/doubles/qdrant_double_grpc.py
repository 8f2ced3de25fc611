"""The gRPC face of the Qdrant double: qdrant-client's generated servicers and its own converters, both ways."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc as transport
from qdrant_client import grpc, models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc import collections_service_pb2_grpc, points_service_pb2_grpc, qdrant_pb2_grpc
from qdrant_double import QdrantDouble, Refused

CODES = {
    400: transport.StatusCode.INVALID_ARGUMENT,
    404: transport.StatusCode.NOT_FOUND,
    409: transport.StatusCode.ALREADY_EXISTS,
    429: transport.StatusCode.RESOURCE_EXHAUSTED,
    503: transport.StatusCode.UNAVAILABLE,
}
FIELD_TYPES = {
    grpc.FieldType.FieldTypeKeyword: models.PayloadSchemaType.KEYWORD,
    grpc.FieldType.FieldTypeInteger: models.PayloadSchemaType.INTEGER,
    grpc.FieldType.FieldTypeFloat: models.PayloadSchemaType.FLOAT,
    grpc.FieldType.FieldTypeInteger: models.PayloadSchemaType.INTEGER,
    grpc.FieldType.FieldTypeDatetime: models.PayloadSchemaType.DATETIME,
}


def optional(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def layout(request: Any) -> models.CreateCollection:
    quantization = optional(request, "quantization_config")
    return models.CreateCollection(
        vectors=GrpcToRest.convert_vectors_config(request.vectors_config),
        sparse_vectors=GrpcToRest.convert_sparse_vector_config(request.sparse_vectors_config),
        shard_number=optional(request, "shard_number"),
        replication_factor=optional(request, "replication_factor"),
        write_consistency_factor=optional(request, "write_consistency_factor"),
        on_disk_payload=optional(request, "on_disk_payload"),
        quantization_config=quantization and GrpcToRest.convert_quantization_config(quantization),
        metadata=GrpcToRest.convert_payload(request.metadata),
    )


def query(request: Any) -> models.QueryRequest:
    filter_, params = optional(request, "filter"), optional(request, "params")
    return models.QueryRequest(
        query=GrpcToRest.convert_query(request.query),
        prefetch=[GrpcToRest.convert_prefetch_query(p) for p in request.prefetch] or None,
        filter=filter_ and GrpcToRest.convert_filter(filter_),
        params=params and GrpcToRest.convert_search_params(params),
        using=optional(request, "using"),
        limit=request.limit,
        with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
    )


def scroll(request: Any) -> models.ScrollRequest:
    offset, filter_ = optional(request, "offset"), optional(request, "filter")
    return models.ScrollRequest(
        filter=filter_ and GrpcToRest.convert_filter(filter_),
        limit=request.limit,
        offset=offset and GrpcToRest.convert_point_id(offset),
        with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
    )


def retrieve(request: Any) -> models.PointRequest:
    return models.PointRequest(
        ids=[GrpcToRest.convert_point_id(point_id) for point_id in request.ids],
        with_payload=GrpcToRest.convert_with_payload_selector(request.with_payload),
        with_vector=GrpcToRest.convert_with_vectors_selector(request.with_vectors),
    )


def scrolled(result: models.ScrollResult) -> Any:
    offset = result.next_page_offset
    return grpc.ScrollResponse(
        result=[RestToGrpc.convert_record(record) for record in result.points],
        next_page_offset=None if offset is None else RestToGrpc.convert_extended_point_id(offset),
    )


def updated(result: models.UpdateResult) -> Any:
    return grpc.PointsOperationResponse(result=RestToGrpc.convert_update_result(result))


def changed(result: bool) -> Any:
    return grpc.CollectionOperationResponse(result=result)


Route = tuple[str, str, Callable[[Any], Any], Callable[[Any], Any]]

COLLECTIONS: dict[str, Route] = {
    "ListAliases": (
        *("GET", "/aliases", lambda r: None),
        lambda found: grpc.ListAliasesResponse(
            aliases=[RestToGrpc.convert_alias_description(a) for a in found.aliases]
        ),
    ),
    "List": (
        *("GET", "/collections", lambda r: None),
        lambda found: grpc.ListCollectionsResponse(
            collections=[RestToGrpc.convert_collection_description(c) for c in found.collections]
        ),
    ),
    "Get": (
        *("GET", "/collections/{}", lambda r: None),
        lambda info: grpc.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info)),
    ),
    "CollectionExists": (
        *("GET", "/collections/{}/exists", lambda r: None),
        lambda found: grpc.CollectionExistsResponse(result=grpc.CollectionExists(exists=found.exists)),
    ),
    "Create": ("PUT", "/collections/{}", layout, changed),
    "Delete": ("DELETE", "/collections/{}", lambda r: None, changed),
    "Update": (
        *("PATCH", "/collections/{}"),
        lambda r: models.UpdateCollection(metadata=GrpcToRest.convert_payload(r.metadata)),
        changed,
    ),
    "UpdateAliases": (
        *("POST", "/collections/aliases"),
        lambda r: models.ChangeAliasesOperation(actions=[GrpcToRest.convert_alias_operations(a) for a in r.actions]),
        changed,
    ),
}
ROOT: dict[str, Route] = {
    "HealthCheck": (
        *("GET", "/", lambda r: None),
        lambda info: grpc.HealthCheckReply(title=info.title, version=info.version),
    ),
}
POINTS: dict[str, Route] = {
    "CreateFieldIndex": (
        *("PUT", "/collections/{}/index"),
        lambda r: models.CreateFieldIndex(field_name=r.field_name, field_schema=FIELD_TYPES[r.field_type]),
        updated,
    ),
    "Upsert": (
        *("PUT", "/collections/{}/points"),
        lambda r: models.PointsList(points=[GrpcToRest.convert_point_struct(p) for p in r.points]),
        updated,
    ),
    "Delete": (
        *("POST", "/collections/{}/points/delete"),
        lambda r: GrpcToRest.convert_points_selector(r.points),
        updated,
    ),
    "Get": (
        *("POST", "/collections/{}/points", retrieve),
        lambda found: grpc.GetResponse(result=[RestToGrpc.convert_record(record) for record in found]),
    ),
    "Count": (
        *("POST", "/collections/{}/points/count", lambda r: models.CountRequest(exact=r.exact)),
        lambda counted: grpc.CountResponse(result=RestToGrpc.convert_count_result(counted)),
    ),
    "Facet": (
        *("POST", "/collections/{}/facet"),
        lambda r: models.FacetRequest(key=r.key, limit=r.limit, exact=r.exact),
        lambda found: grpc.FacetResponse(
            hits=[
                grpc.FacetHit(value=grpc.FacetValue(string_value=str(hit.value)), count=hit.count) for hit in found.hits
            ]
        ),
    ),
    "Scroll": ("POST", "/collections/{}/points/scroll", scroll, scrolled),
    "Query": (
        *("POST", "/collections/{}/points/query", query),
        lambda found: grpc.QueryResponse(result=[RestToGrpc.convert_scored_point(p) for p in found.points]),
    ),
}


def answering(double: QdrantDouble, route: Route) -> Callable[[Any, Any, Any], Any]:
    method, path, read, write = route

    def answer(self: Any, request: Any, context: Any) -> Any:
        named = path.format(getattr(request, "collection_name", ""))
        fault = double.next_fault(f"{method} {named}")
        if fault and fault.reset != "after":
            context.set_trailing_metadata([(name.lower(), value) for name, value in fault.headers.items()])
            context.abort(CODES[503 if fault.reset else fault.status], "not now")
        try:
            result = double.do(method, named, read(request), dict(context.invocation_metadata()))
        except Refused as refused:
            context.abort(CODES[refused.status], str(refused))
        if fault:
            context.abort(transport.StatusCode.UNAVAILABLE, "Connection reset by peer")
        return write(result)

    return answer


def servicer(double: QdrantDouble, base: type, routes: dict[str, Route]) -> Any:
    return type(base.__name__, (base,), {name: answering(double, route) for name, route in routes.items()})()


@contextmanager
def serve_grpc(double: QdrantDouble, certificate: tuple[Path, Path] | None = None, port: int = 0) -> Iterator[str]:
    """The address of the double over gRPC, with TLS where there is a (certificate, key)."""
    server = transport.server(ThreadPoolExecutor(32))
    collections: Any = collections_service_pb2_grpc
    points: Any = points_service_pb2_grpc
    root: Any = qdrant_pb2_grpc
    root.add_QdrantServicer_to_server(servicer(double, root.QdrantServicer, ROOT), server)
    collections.add_CollectionsServicer_to_server(
        servicer(double, collections.CollectionsServicer, COLLECTIONS), server
    )
    points.add_PointsServicer_to_server(servicer(double, points.PointsServicer, POINTS), server)
    if certificate:
        chain, key = (path.read_bytes() for path in certificate)
        port = server.add_secure_port(f"127.0.0.1:{port}", transport.ssl_server_credentials([(key, chain)]))
    else:
        port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    yield f"{'grpcs' if certificate else 'grpc'}://127.0.0.1:{port}"
    server.stop(grace=None).wait()
