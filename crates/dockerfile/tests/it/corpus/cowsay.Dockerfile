FROM ubuntu:trusty
MAINTAINER somebody@example.com

RUN apt-get update && apt-get install -y cowsay
ENV PATH $PATH:/usr/games

CMD ["cowsay", "moo"]
