from nginx:1.27 as site
copy nginx.conf /etc/nginx/conf.d/default.conf
copy public/ /usr/share/nginx/html/
expose 80 443
stopsignal SIGQUIT
cmd ["nginx", "-g", "daemon off;"]
