# A published port answers on this machine's loopback: nftables modules come by themselves.
. /tests/support.sh

daemon_start
busybox_image
gantry run -d --name web -p 127.0.0.1:8080:80 busybox sh -c '
    while true; do printf "HTTP/1.0 200 OK\r\n\r\nhello from inside\n" | nc -l -p 80; done' >/dev/null
same "port" "$(gantry port web)" "80/tcp -> 127.0.0.1:8080"
eventually "it answers" fetch http://127.0.0.1:8080/
# Between two answers nobody listens.
sleep 1
same "page" "$(fetch http://127.0.0.1:8080/)" "hello from inside"
gantry rm -f web >/dev/null
refuses "the port after removal" fetch http://127.0.0.1:8080/
daemon_end
