"""The configuration files of EMQ X 3.0 to 4.3 load as they are (behaviour, 22; keys that came later are marked)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.broker_process import BrokerProcess
from tests.plugins.conftest import load, unload

SQL = """
auth.{0}.pool = 8
auth.{0}.password =
auth.{0}.database = mqtt
## Value: Duration
auth.{0}.query_timeout = 5s
auth.{0}.auth_query = select password from mqtt_user where username = '%u' limit 1
auth.{0}.password_hash = sha256
## sha256 with salt prefix
## auth.{0}.password_hash = salt,sha256
auth.{0}.super_query = select is_superuser from mqtt_user where username = '%u' limit 1
auth.{0}.acl_query = select allow, ipaddr, username, clientid, access, topic from mqtt_acl where ipaddr = '%a' \
or username = '%u' or username = '$all' or clientid = '%c'
"""
# By plugin: the text, and which of its keys are told to be without effect.
FILES = {
    "emqx_auth_mysql": ("""
auth.mysql.server = 127.0.0.1:1
auth.mysql.username = root
## 4.0
auth.mysql.ssl = off
auth.mysql.ssl.cafile = etc/certs/ca.pem
auth.mysql.ssl.certfile = etc/certs/client-cert.pem
auth.mysql.ssl.keyfile = etc/certs/client-key.pem
## 4.3
auth.mysql.ssl.cacertfile = etc/certs/ca.pem
auth.mysql.ssl.verify = false
auth.mysql.ssl.server_name_indication = disable
""" + SQL.format("mysql"), ["ssl.server_name_indication"]),
    "emqx_auth_pgsql": ("""
auth.pgsql.server = 127.0.0.1:1
auth.pgsql.username = root
auth.pgsql.encoding = utf8
auth.pgsql.ssl = false
auth.pgsql.ssl_opts.keyfile = etc/certs/client-key.pem
auth.pgsql.ssl_opts.certfile = etc/certs/client-cert.pem
auth.pgsql.ssl_opts.cacertfile = etc/certs/ca.pem
## 4.3
auth.pgsql.ssl.tls_versions = tlsv1.3,tlsv1.2,tlsv1.1
auth.pgsql.ssl.cacertfile = etc/certs/ca.pem
auth.pgsql.ssl.verify = false
""" + SQL.format("pgsql"), ["ssl.tls_versions"]),
    "emqx_auth_redis": ("""
## 3.1
auth.redis.type = single
auth.redis.server = 127.0.0.1:1
auth.redis.pool = 8
auth.redis.database = 0
auth.redis.password =
auth.redis.query_timeout = 5s
auth.redis.auth_cmd = HMGET mqtt_user:%u password
auth.redis.password_hash = plain
auth.redis.super_cmd = HGET mqtt_user:%u is_superuser
auth.redis.acl_cmd = HGETALL mqtt_acl:%u
## 4.0
auth.redis.ssl = off
auth.redis.cacertfile = etc/certs/ca.pem
auth.redis.certfile = etc/certs/client-cert.pem
auth.redis.keyfile = etc/certs/client-key.pem
""", []),
    "emqx_auth_mongo": ("""
auth.mongo.type = single
auth.mongo.server = 127.0.0.1:1
auth.mongo.pool = 8
auth.mongo.login =
auth.mongo.password =
auth.mongo.auth_source = admin
auth.mongo.database = mqtt
auth.mongo.query_timeout = 5s
auth.mongo.ssl = false
auth.mongo.ssl_opts.keyfile =
auth.mongo.ssl_opts.certfile =
auth.mongo.ssl_opts.cacertfile =
auth.mongo.w_mode = safe
auth.mongo.r_mode = undef
auth.mongo.topology.pool_size = 1
auth.mongo.topology.max_overflow = 0
auth.mongo.topology.overflow_ttl = 1000
auth.mongo.topology.overflow_check_period = 1000
auth.mongo.topology.local_threshold_ms = 1000
auth.mongo.topology.connect_timeout_ms = 20000
auth.mongo.topology.socket_timeout_ms = 100
auth.mongo.topology.server_selection_timeout_ms = 300
auth.mongo.topology.wait_queue_timeout_ms = 1000
auth.mongo.topology.heartbeat_frequency_ms = 10000
auth.mongo.topology.min_heartbeat_frequency_ms = 1000
auth.mongo.auth_query.password_hash = sha256
auth.mongo.auth_query.collection = mqtt_user
auth.mongo.auth_query.password_field = password
auth.mongo.auth_query.selector = username=%u, clientid=%c
auth.mongo.super_query = on
auth.mongo.super_query.collection = mqtt_user
auth.mongo.super_query.super_field = is_superuser
auth.mongo.super_query.selector = username=%u
auth.mongo.acl_query = on
auth.mongo.acl_query.collection = mqtt_acl
auth.mongo.acl_query.selector.1 = username=%u
auth.mongo.acl_query.selector.2 = username=$all
## 4.3
auth.mongo.srv_record = false
auth.mongo.username =
""", ["w_mode", "topology.pool_size", "topology.max_overflow", "topology.overflow_ttl",
      "topology.overflow_check_period", "topology.local_threshold_ms", "topology.min_heartbeat_frequency_ms"]),
    "emqx_auth_ldap": ("""
auth.ldap.servers = 127.0.0.1
auth.ldap.port = 1
auth.ldap.pool = 8
auth.ldap.bind_dn = cn=root,dc=emqx,dc=io
auth.ldap.bind_password = public
auth.ldap.timeout = 30s
auth.ldap.device_dn = ou=device,dc=emqx,dc=io
auth.ldap.match_objectclass = mqttUser
auth.ldap.username.attributetype = uid
auth.ldap.password.attributetype = userPassword
auth.ldap.ssl = false
auth.ldap.ssl.certfile = etc/certs/cert.pem
auth.ldap.ssl.keyfile = etc/certs/key.pem
auth.ldap.ssl.cacertfile = etc/certs/cacert.pem
auth.ldap.ssl.verify = verify_peer
auth.ldap.ssl.fail_if_no_peer_cert = true
""", ["ssl.fail_if_no_peer_cert"]),
    "emqx_auth_http": ("""
## 3.1
auth.http.request.timeout = 0
auth.http.request.connect_timout = 0
auth.http.request.retry_times = 3
auth.http.request.retry_interval = 1s
auth.http.request.retry_backoff = 2.0
auth.http.auth_req = http://127.0.0.1:1/mqtt/auth
auth.http.auth_req.method = post
auth.http.auth_req.params = clientid=%c,username=%u,password=%P
auth.http.super_req = http://127.0.0.1:1/mqtt/superuser
auth.http.super_req.method = put
auth.http.super_req.params = clientid=%c,username=%u,cn=%C,subject=%d
auth.http.acl_req = http://127.0.0.1:1/mqtt/acl
auth.http.acl_req.method = get
auth.http.acl_req.params = access=%A,username=%u,clientid=%c,ipaddr=%a,topic=%t,acceptport=%l,mountpoint=%m
## 4.0
auth.http.header.Accept-Language = *
auth.http.request.connect_timeout = 0
""", ["request.retry_times", "request.retry_interval", "request.retry_backoff"]),
    "emqx_auth_jwt": ("""
auth.jwt.secret = emqxsecret
## 3.1
auth.jwt.from = password
auth.jwt.verify_claims = off
auth.jwt.verify_claims.userName = %u
## 4.2
auth.jwt.signature_format = der
""", ["signature_format"]),
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory):
    directory = tmp_path_factory.mktemp("broker")
    broker = BrokerProcess(directory, {"EMQX_PLUGINS__ETC_DIR": str(directory / "plugins")})
    (directory / "plugins").mkdir()
    for name, (text, _) in FILES.items():
        (directory / "plugins" / f"{name}.conf").write_text(text)
    yield broker.start()
    assert broker.stop() == 0


@pytest.mark.parametrize("plugin", FILES)
def test_the_files_of_emqx_load_as_they_are(broker: BrokerProcess, plugin: str):
    """The back-end need not be there. Keys without effect are told in one line."""
    prefix = plugin.removeprefix("emqx_").replace("_", ".", 1)
    load(broker, plugin)
    told = [line.partition("without effect here: ")[2] for line in broker.stderr.splitlines()
            if f"plugin {plugin}: known" in line]
    inert = FILES[plugin][1]
    assert [set(line.strip().split(", ")) for line in told] == ([{f"{prefix}.{key}" for key in inert}] if inert else [])
    unload(broker, plugin)


def test_words_of_erlang_for_the_certificate(broker: BrokerProcess, tmp_path: Path):
    """verify_none is off, and anything else is told."""
    url = "nodes/emqx@127.0.0.1/plugin_configs/emqx_auth_ldap"
    assert broker.api("PUT", url, json={"auth.ldap.ssl.verify": "verify_none"}).json() == "ok"
    answer = broker.api("PUT", url, json={"auth.ldap.ssl.verify": "verify_perhaps"})
    assert "auth.ldap.ssl.verify" in answer.text
