from alpine:3 As Base
run set -x; \
	for f in a b c; do \
		echo "$f" >> /list; \
	done \

	&& cat /list
add https://example.com/archive.tar.gz /opt/
ADD --checksum=sha256:0000000000000000000000000000000000000000000000000000000000000000 \
    --unpack=true https://example.com/x.tar /opt/x
ADD --keep-git-dir=true git@github.com:example/repo.git#main:sub /repo
RUN ["/bin/sh", "-c", "echo \"hi\" \u00e9"]
RUN [ -f /list ] && echo yes
RUN cat <<A - <<"B" | sort
one $HOME
A
two
B
RUN --network=none --security=sandbox --device=vendor.com/class=name,required true
expose 7000-7010/udp 80/TCP
healthcheck none
