"""The messages of etcd's v3 API that we speak, as protobuf classes made at import from a table of field numbers.

Not generated code: etcd's API is some three hundred lines of protobuf of which we need a tenth, and what follows is
that tenth. Names and numbers are those of etcd's `rpc.proto` and `kv.proto`, which promise not to change them. Declared
as proto2, because there a field set to zero is sent: a comparison with revision 0 means "does not exist".
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# type and number of each field; a capital is another message, `*` is repeated
_MESSAGES = {
    "KeyValue": "key:bytes=1 create_revision:int64=2 mod_revision:int64=3 version:int64=4 value:bytes=5 lease:int64=6",
    "Event": "type:int32=1 kv:KeyValue=2 prev_kv:KeyValue=3",
    "ResponseHeader": "cluster_id:uint64=1 member_id:uint64=2 revision:int64=3 raft_term:uint64=4",
    "RangeRequest": "key:bytes=1 range_end:bytes=2 limit:int64=3 revision:int64=4 keys_only:bool=8 count_only:bool=9",
    "RangeResponse": "header:ResponseHeader=1 kvs:*KeyValue=2 more:bool=3 count:int64=4",
    "PutRequest": "key:bytes=1 value:bytes=2",
    "PutResponse": "header:ResponseHeader=1",
    "DeleteRangeRequest": "key:bytes=1 range_end:bytes=2 prev_kv:bool=3",
    "DeleteRangeResponse": "header:ResponseHeader=1 deleted:int64=2 prev_kvs:*KeyValue=3",
    "RequestOp": "request_range:RangeRequest=1 request_put:PutRequest=2 request_delete_range:DeleteRangeRequest=3",
    "ResponseOp": "response_range:RangeResponse=1 response_put:PutResponse=2 "
    "response_delete_range:DeleteRangeResponse=3",
    "Compare": "result:int32=1 target:int32=2 key:bytes=3 mod_revision:int64=6",
    "TxnRequest": "compare:*Compare=1 success:*RequestOp=2 failure:*RequestOp=3",
    "TxnResponse": "header:ResponseHeader=1 succeeded:bool=2 responses:*ResponseOp=3",
    "CompactionRequest": "revision:int64=1 physical:bool=2",
    "CompactionResponse": "header:ResponseHeader=1",
    "WatchCreateRequest": "key:bytes=1 range_end:bytes=2 start_revision:int64=3 progress_notify:bool=4 prev_kv:bool=6",
    "WatchProgressRequest": "",
    "WatchRequest": "create_request:WatchCreateRequest=1 progress_request:WatchProgressRequest=3",
    "WatchResponse": "header:ResponseHeader=1 watch_id:int64=2 created:bool=3 canceled:bool=4 "
    "compact_revision:int64=5 cancel_reason:string=6 events:*Event=11",
    "AuthenticateRequest": "name:string=1 password:string=2",
    "AuthenticateResponse": "header:ResponseHeader=1 token:string=2",
    "StatusRequest": "",
    "StatusResponse": "header:ResponseHeader=1 version:string=2 dbSize:int64=3 leader:uint64=4",
    "SnapshotRequest": "",
    "Member": "ID:uint64=1 name:string=2 peerURLs:*string=3 clientURLs:*string=4 isLearner:bool=5",
    "MemberListRequest": "",
    "MemberAddRequest": "peerURLs:*string=1 isLearner:bool=2",
    "MemberPromoteRequest": "ID:uint64=1",
    "MemberRemoveRequest": "ID:uint64=1",
    "MemberListResponse": "header:ResponseHeader=1 members:*Member=2",
    "MemberAddResponse": "header:ResponseHeader=1 member:Member=2 members:*Member=3",
    "SnapshotResponse": "header:ResponseHeader=1 remaining_bytes:uint64=2 blob:bytes=3",
}

EQUAL, MOD = 0, 2  # Compare.result, Compare.target
DELETE = 1  # Event.type


def _build() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="pybernetes/etcd.proto", package="etcd", syntax="proto2")
    field = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split():
            label, rest = text.split(":")
            kind, number = rest.split("=")
            repeated = kind.startswith("*")
            kind = kind.lstrip("*")
            made = message.field.add(name=label, number=int(number))
            made.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            if kind in _MESSAGES:
                made.type, made.type_name = field.TYPE_MESSAGE, f".etcd.{kind}"
            else:
                made.type = getattr(field, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"etcd.{name}")) for name in _MESSAGES}


#: Message classes by name.
MESSAGES: dict[str, Any] = _build()

#: Path of a call and the names of its request and reply.
CALLS = {
    "range": ("/etcdserverpb.KV/Range", "RangeRequest", "RangeResponse"),
    "txn": ("/etcdserverpb.KV/Txn", "TxnRequest", "TxnResponse"),
    "compact": ("/etcdserverpb.KV/Compact", "CompactionRequest", "CompactionResponse"),
    "watch": ("/etcdserverpb.Watch/Watch", "WatchRequest", "WatchResponse"),
    "authenticate": ("/etcdserverpb.Auth/Authenticate", "AuthenticateRequest", "AuthenticateResponse"),
    "status": ("/etcdserverpb.Maintenance/Status", "StatusRequest", "StatusResponse"),
    "member_list": ("/etcdserverpb.Cluster/MemberList", "MemberListRequest", "MemberListResponse"),
    "member_add": ("/etcdserverpb.Cluster/MemberAdd", "MemberAddRequest", "MemberAddResponse"),
    "member_promote": ("/etcdserverpb.Cluster/MemberPromote", "MemberPromoteRequest", "MemberListResponse"),
    "member_remove": ("/etcdserverpb.Cluster/MemberRemove", "MemberRemoveRequest", "MemberListResponse"),
    "snapshot": ("/etcdserverpb.Maintenance/Snapshot", "SnapshotRequest", "SnapshotResponse"),
}
