FROM maven:3-eclipse-temurin-21 AS package
WORKDIR /build
COPY pom.xml .
RUN mvn -q dependency:go-offline
COPY src src
RUN mvn -q package -DskipTests

FROM eclipse-temurin:21-jre
MAINTAINER platform
COPY --from=package /build/target/service.jar /opt/service.jar
ENV JAVA_OPTS="-Xmx256m"
EXPOSE 8080
ENTRYPOINT java $JAVA_OPTS -jar /opt/service.jar
